import { startRocketMq } from "@hawser/testkit";
import { expect, it, onTestFinished } from "vitest";
import { RocketMqAdmin } from "../src/index.ts";

it("makes topics and groups, lists them with what they are, and deletes them", async () => {
  const admin = await RocketMqAdmin.connect((await startRocketMq()).broker);
  onTestFinished(() => admin.close());
  const name = `admin-${Date.now().toString(36)}`;
  await admin.topic(name, "FIFO", 3);
  await admin.group(name, { fifo: true, retryMaxTimes: 5 });
  expect(await admin.topics()).toContainEqual({ name, type: "FIFO", readQueues: 3, writeQueues: 3 });
  expect(await admin.groups()).toContainEqual({ name, fifo: true, retryMaxTimes: 5 });
  await admin.deleteTopic(name);
  await admin.deleteGroup(name);
  expect((await admin.topics()).some((topic) => topic.name === name)).toBe(false);
  expect((await admin.groups()).some((group) => group.name === name)).toBe(false);
});

it("says in one line what the broker refuses, and when there is none", async () => {
  const admin = await RocketMqAdmin.connect((await startRocketMq()).broker);
  onTestFinished(() => admin.close());
  await expect(admin.topic("no/such name")).rejects.toMatchObject({ code: "HAWSER_E_ROCKETMQ_REFUSED", message: expect.stringContaining("topic no/such name") });
  await expect(RocketMqAdmin.connect("127.0.0.1:1")).rejects.toMatchObject({ code: "HAWSER_E_ROCKETMQ_AWAY" });
});
