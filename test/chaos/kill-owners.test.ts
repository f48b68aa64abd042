/** kill -9 of whatever owns something, in the middle of commands and uplink: nothing promised is lost, nothing runs twice. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { clientIdOf } from "../e2e/kit/device.ts";
import { ChaosStage } from "./chaos-stage.ts";

let stage: ChaosStage | undefined;

beforeAll(async () => {
  stage = await ChaosStage.start();
}, 200_000);
afterAll(() => stage?.stop());

it("keeps every promise through the deaths of a session owner, a router, a csg-agent, an ingress and a gateway", async () => {
  const { stack, subscribers, publishers, gateways } = stage!;
  const killed = async (service: "session" | "router" | "csg-agent" | "ingress", index: number): Promise<void> => void stack.kill(service, index);
  const keeper = subscribers[0]!;
  await stage!.survives("session", async () => killed("session", await stage!.ownerOf("session", clientIdOf(keeper.name))));
  await stage!.survives("router", async () => killed("router", await stage!.ownerOf("router", clientIdOf(publishers[0]!.name))));
  await stage!.survives("csg-agent", async () => killed("csg-agent", await stage!.ownerOf("csg", gateways[0]!.device)));
  await stage!.survives("ingress", async () => killed("ingress", Math.max(0, keeper.ingress)));
  await stage!.survives("gateway", async () => {
    await gateways[0]!.kill();
    gateways[0]!.start();
  });
  const violations = await stage!.verdict();
  console.log(stage!.summary());
  expect(violations).toEqual([]);
}, 300_000);
