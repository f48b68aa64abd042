/** RocketMQ is away for a minute: devices go on, nothing acknowledged is lost, everything resumes by itself. */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { ChaosStage } from "../chaos-stage.ts";

const AWAY_MS = 60_000;
let stage: ChaosStage | undefined;

beforeAll(async () => {
  stage = await ChaosStage.start({ rocketmq: "own" });
}, 300_000);
afterAll(() => stage?.stop());

it("survives a minute without RocketMQ, while MQTT goes on", async () => {
  const { stack, publishers, subscribers } = stage!;
  const connections = (): number[] => [...publishers, ...subscribers].map((each) => each.connections);
  const before = connections();
  const rocketmq = stack.stack.process("rocketmq");
  await stage!.survives("RocketMQ away", async () => {
    await rocketmq.stop(0);
    const [acknowledged, delivered] = [publishers.map((each) => each.acknowledged), subscribers.map((each) => each.all().length)];
    await sleep(AWAY_MS);
    expect(publishers.map((each, at) => each.acknowledged - acknowledged[at]!).every((more) => more > 100), "publishers went on").toBe(true);
    expect(subscribers.map((each, at) => each.all().length - delivered[at]!).every((more) => more > 100), "sessions went on").toBe(true);
    rocketmq.start();
  }, 120_000);
  expect(connections()).toEqual(before);
  const violations = await stage!.verdict();
  console.log(stage!.summary());
  expect(violations).toEqual([]);
}, 500_000);
