import { RocketMqAdmin } from "@hawser/rocketmq";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startStack, type TestStack } from "../src/index.ts";

let stack: TestStack;
beforeAll(async () => {
  stack = await startStack({ router: 2, settings: { "shards.heartbeatMs": 200 } });
}, 200_000);
afterAll(() => stack.stop());

it("has topics and groups of its own in the shared RocketMQ, and rules that name them", async () => {
  expect(stack.state.rules).toContainEqual({ kind: "outbound", parent: "demo", rocketmq: stack.topics.demo });
  const admin = await RocketMqAdmin.connect(stack.state.brokerRemoting!);
  const names = (await admin.topics()).map(({ name }) => name);
  const groups = (await admin.groups()).map(({ name }) => name);
  admin.close();
  expect(names).toEqual(expect.arrayContaining(Object.values(stack.topics)));
  expect(groups).toEqual(expect.arrayContaining(Object.values(stack.groups)));
  expect(stack.topics.demo).toMatch(/^t[0-9a-f]{8}-demo$/);
});

it("is whole again after a kill", async () => {
  const pid = stack.kill("router", 1);
  await expect.poll(() => stack.state.pids.router[1], { timeout: 10_000 }).not.toBe(pid);
  await stack.untilReady();
  expect(stack.log("router-1")).not.toBe("");
});
