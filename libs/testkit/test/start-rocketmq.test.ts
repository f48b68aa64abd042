import { RocketMqAdmin } from "@hawser/rocketmq";
import { expect, it } from "vitest";
import { startRocketMq } from "../src/index.ts";

it("gives every test file the same RocketMQ, in which topics and groups can be made", async () => {
  const [first, second] = await Promise.all([startRocketMq(), startRocketMq()]);
  expect(second).toEqual(first);
  const admin = await RocketMqAdmin.connect(first.broker);
  await admin.topic("testkit-fifo", "FIFO", 2);
  await admin.group("testkit-group", { fifo: true });
  expect(await admin.topics()).toContainEqual(expect.objectContaining({ name: "testkit-fifo", type: "FIFO", writeQueues: 2 }));
  expect(await admin.groups()).toContainEqual(expect.objectContaining({ name: "testkit-group", fifo: true }));
  admin.close();
}, 200_000);
