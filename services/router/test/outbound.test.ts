import { encodeMessageProperties } from "@hawser/mqtt";
import type { ReceivedMessage } from "@hawser/rocketmq";
import { decodeRocketMqMessage, type DestinationSet, encodePresenceEvent, encodeRocketMqMessage, encodeTraceparent, RecordKind } from "@hawser/wire";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Platform } from "./platform.ts";

let platform: Platform;
const wait = { timeout: 25_000, interval: 20 };
let topics: Record<"out" | "fifo" | "status" | "ready" | "missing", string>;

beforeAll(async () => {
  platform = await Platform.start();
  const named = (name: string): string => `${name}-${platform.run}`;
  topics = { out: named("out"), fifo: named("fifo"), status: named("status"), ready: named("ready"), missing: named("missing") };
  await Promise.all([platform.admin.topic(topics.out), platform.admin.topic(topics.status), platform.admin.topic(topics.ready), platform.admin.topic(topics.fifo, "FIFO")]);
  await platform.publish({
    groups: ["GID"],
    parents: ["demo", "ordered", "lost"],
    rules: [
      { id: "demo-out", kind: "outbound", parent: "demo", topic: topics.out },
      { id: "ordered-out", kind: "outbound", parent: "ordered", topic: topics.fifo, order: "client" },
      { id: "lost-out", kind: "outbound", parent: "lost", topic: topics.missing },
      { id: "status", kind: "status", group: "GID", topic: topics.status },
    ],
  });
  await platform.startRouter();
});

afterAll(() => platform.stop());

const to = (...rules: string[]): DestinationSet => ({ instance: "default", rules, inbox: false, actor: null });
/** Without an SDK a span is its parent: the context passes through. */
const TRACEPARENT = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01";
const text = (messages: readonly ReceivedMessage[]): string[] => messages.map(({ body }) => body.toString());

describe("the log to RocketMQ", () => {
  it("maps a publish by its rule: the payload as it is, the product's properties, MQTT 5's own", async () => {
    const received = await platform.consume(topics.out);
    const properties = encodeMessageProperties({ contentType: "text/plain", userProperties: [["k", "v"], ["KEYS", "x"], ["empty", ""]] });
    const body = platform.envelope({ topic: "demo/a/b", payload: Buffer.from([0, 255, 1]), persistent: true, properties, trace: encodeTraceparent(TRACEPARENT) });
    await platform.append({ kind: RecordKind.publish, destinations: to("demo-out"), body });
    await expect.poll(() => received.length, wait).toBe(1);
    expect(received[0]!.body).toEqual(Buffer.from([0, 255, 1]));
    expect({ ...received[0]!.properties }).toEqual({
      qoslevel: "1",
      cleansessionflag: "false",
      mqttSecondTopic: "/a/b",
      clientId: "GID@@@dev",
      topic: "demo",
      traceparent: TRACEPARENT,
      "mqtt5-content-type": "text/plain",
      k: "v",
      empty: "%",
      "mqtt5-encoded": "empty",
      "hawser-origin": `default/${topics.out}/demo`,
    });
  });

  it("keeps the order of each client on a FIFO topic", async () => {
    const received = await platform.consume(topics.fifo);
    const clients = ["GID@@@one", "GID@@@two", `GID@@@${"x".repeat(58)}`];
    const appended: Promise<unknown>[] = [];
    for (let n = 0; n < 30; n++) {
      const sender = clients[n % 3]!;
      const body = platform.envelope({ topic: "ordered/t", sender, payload: Buffer.from(String(n)) });
      appended.push(platform.append({ kind: RecordKind.publish, destinations: to("ordered-out"), body }, sender));
    }
    await Promise.all(appended);
    await expect.poll(() => received.length, wait).toBe(30);
    for (const client of clients) {
      const numbers = received
        .filter(({ properties }) => properties["clientId"] === client)
        .sort((a, b) => a.queueOffset - b.queueOffset)
        .map(({ body }) => Number(body));
      expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
      expect(numbers.length).toBe(10);
    }
  });

  it("sends presence events as the product documents them, and what actors made ready as it stands", async () => {
    const [events, ready] = [await platform.consume(topics.status), await platform.consume(topics.ready)];
    const event = { type: "connect", clientId: "GID@@@dev", channelId: "channel-1", clientIp: "10.0.0.1:5", atMs: 1_700_000_000_000, epoch: 1, counter: 1 } as const;
    await platform.append({ kind: RecordKind.presence, destinations: to("status"), body: encodePresenceEvent(event) });
    const message = { cluster: "default", topic: topics.ready, tag: "t", keys: ["k1", "k2"], group: "g", properties: [["a", "1"]] as const, body: Buffer.from("{}") };
    await platform.append({ kind: RecordKind.message, destinations: to(), body: encodeRocketMqMessage(message) });
    await expect.poll(() => [events.length, ready.length], wait).toEqual([1, 1]);
    expect(events[0]).toMatchObject({ tag: "connect" });
    expect(JSON.parse(events[0]!.body.toString())).toEqual({
      clientId: "GID@@@dev",
      time: 1_700_000_000_000,
      eventType: "connect",
      channelId: "channel-1",
      clientIp: "10.0.0.1:5",
    });
    expect(ready[0]).toMatchObject({ tag: "t", keys: ["k1", "k2"] });
    expect({ ...ready[0]!.properties }).toEqual({ a: "1" });
  });

  it("does not send what has expired, and goes on", async () => {
    const received = await platform.consume(topics.out);
    const old = platform.envelope({ payload: Buffer.from("old"), publishedAtMs: Date.now() - 5000, properties: encodeMessageProperties({ expirySeconds: 2 }) });
    await platform.append({ kind: RecordKind.publish, destinations: to("demo-out"), body: old });
    await platform.append({ kind: RecordKind.publish, destinations: to("demo-out"), body: platform.envelope({ payload: Buffer.from("new") }) });
    await expect.poll(() => text(received), wait).toContain("new");
    expect(text(received)).not.toContain("old");
  });

  it("sets aside what a missing topic does not take, instead of stopping the others", async () => {
    const received = await platform.consume(topics.out);
    const before = received.length;
    const dead = await platform.deadLetters();
    for (let n = 0; n < 70; n++) {
      await platform.append({ kind: RecordKind.publish, destinations: to("lost-out"), body: platform.envelope({ topic: "lost/x", payload: Buffer.from(`lost ${n}`) }) });
    }
    await platform.append({ kind: RecordKind.publish, destinations: to("demo-out"), body: platform.envelope({ payload: Buffer.from("behind them") }) });
    // a router that has just started gives a missing topic 20 s to turn up
    await expect.poll(() => text(received), { ...wait, timeout: 50_000 }).toContain("behind them");
    expect(received.length).toBeGreaterThan(before);
    await expect.poll(() => dead.length, wait).toBeGreaterThan(40);
    expect(dead[0]!.head).toMatchObject({ instance: "default", rule: "lost-out", code: 40_402 });
    const kept = decodeRocketMqMessage(dead[0]!.body);
    expect(kept).toMatchObject({ cluster: "default", topic: topics.missing });
    expect(kept.body.toString()).toBe("lost 0");
  }, 60_000);

  it("sets aside at once what names a cluster nobody knows", async () => {
    const dead = await platform.deadLetters();
    const message = { cluster: "elsewhere", topic: "any", tag: "", keys: [], group: "", properties: [], body: Buffer.from("far") };
    await platform.append({ kind: RecordKind.message, destinations: to(), body: encodeRocketMqMessage(message) });
    await expect.poll(() => dead.map(({ body }) => decodeRocketMqMessage(body).cluster), wait).toContain("elsewhere");
  });

  it("waits for a rule its copy of the catalogue does not have yet", async () => {
    const received = await platform.consume(topics.ready);
    await platform.append({ kind: RecordKind.publish, destinations: to("new-rule"), body: platform.envelope({ topic: "demo/later", payload: Buffer.from("later") }) });
    await platform.publish({
      groups: ["GID"],
      parents: ["demo"],
      rules: [
        { id: "demo-out", kind: "outbound", parent: "demo", topic: topics.out },
        { id: "new-rule", kind: "outbound", parent: "demo", topic: topics.ready },
      ],
    });
    await expect.poll(() => text(received), wait).toContain("later");
  });
});
