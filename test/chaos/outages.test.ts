/** nats-server is away for ten seconds: clients stay connected, nothing acknowledged is lost, everything resumes by itself. */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Device } from "../e2e/kit/device.ts";
import { ChaosStage } from "./chaos-stage.ts";

const AWAY_MS = 10_000;
let stage: ChaosStage | undefined;

beforeAll(async () => {
  stage = await ChaosStage.start();
}, 200_000);
afterAll(() => stage?.stop());

it("survives ten seconds without NATS", async () => {
  const { stack, publishers, subscribers } = stage!;
  const idle = await Device.connect(stack, "idle", { level: 5, ingress: 1 });
  await idle.subscribe({ filter: "csgStatus/idle", qos: 1 });
  const connections = (): number[] => [...publishers, ...subscribers].map((each) => each.connections);
  const before = connections();
  const nats = stack.stack.process("nats");
  await stage!.survives("NATS away", async () => {
    await nats.stop(0);
    let acknowledged = false;
    const publish = idle.publish({ topic: "csgStatus/idle", payload: "during the outage", qos: 1 }).then(() => (acknowledged = true));
    publish.catch(() => undefined); // awaited below
    await sleep(AWAY_MS);
    expect(acknowledged).toBe(false);
    await idle.ping(); // the ingress serves its sockets without NATS
    nats.start();
    await publish;
  });
  await idle.until("what it published during the outage", (all) => all.some(({ text }) => text === "during the outage"));
  expect(idle.gone).toBe(false);
  expect(connections()).toEqual(before);
  const violations = await stage!.verdict();
  console.log(stage!.summary());
  expect(violations).toEqual([]);
  await idle.leave();
}, 200_000);
