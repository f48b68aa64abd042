import { startOwnRocketMq } from "@hawser/testkit";
import { describe, expect, it, onTestFinished } from "vitest";
import { RocketMqAdmin, RocketMqReceiver, RocketMqSender } from "../src/index.ts";

describe("RocketMQ killed while messages go through", () => {
  it("loses nothing that was stored, and both directions go on by themselves", async () => {
    const server = await startOwnRocketMq();
    onTestFinished(() => server.stop());
    const admin = await RocketMqAdmin.connect(server.broker);
    onTestFinished(() => admin.close());
    const [topic, consumerGroup] = ["kill", "kill-all"];
    await admin.topic(topic);
    await admin.group(consumerGroup);
    const events: string[] = [];
    const to = new RocketMqSender({ endpoints: server.endpoint, onEvent: ({ kind }) => events.push(kind) });
    onTestFinished(() => to.close());
    const stored = new Set<string>();
    const seen = new Set<string>();
    const one = new RocketMqReceiver({
      endpoints: server.endpoint,
      topic,
      consumerGroup,
      invisibleMs: 10_000,
      onMessages: (batch, settle) => batch.forEach(({ body }, index) => (seen.add(body.toString()), settle(index, true))),
    });
    onTestFinished(() => one.stop(100));
    let sent = 0;
    const feed = setInterval(() => {
      for (let n = 0; n < 10; n++) {
        const body = String(sent++);
        to.send({ topic, body: Buffer.from(body), properties: [], tag: "", keys: [], group: "" }, ({ kind }) => kind === "sent" && stored.add(body));
      }
    }, 10);
    onTestFinished(() => clearInterval(feed));
    await expect.poll(() => stored.size, { timeout: 30_000 }).toBeGreaterThan(300);
    await server.kill();
    await expect.poll(() => events, { timeout: 20_000 }).toEqual(["away"]);
    await expect.poll(() => one.connected, { timeout: 20_000 }).toBe(false);
    await server.restart();
    const readyAt = Date.now();
    await expect.poll(() => events, { timeout: 20_000, interval: 20 }).toEqual(["away", "back"]);
    await expect.poll(() => one.connected, { timeout: 20_000, interval: 20 }).toBe(true);
    const recoveredMs = Date.now() - readyAt;
    clearInterval(feed);
    await expect.poll(() => stored.size, { timeout: 40_000, interval: 50 }).toBe(sent);
    await expect.poll(() => [...stored].filter((body) => !seen.has(body)).length, { timeout: 60_000, interval: 100 }).toBe(0);
    // 1 to 2 s on a machine with nothing else to do; the defaults of gRPC would take 10 s to two minutes
    expect(recoveredMs).toBeLessThan(8000);
  }, 200_000);
});
