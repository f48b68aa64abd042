import { listProperties } from "@hawser/mqtt";
import { metricsRegistry } from "@hawser/telemetry";
import { ActorVerb, type Answer, buckets, decodeEnvelope, decodeP2pRequest, decodeTraceparent, type Envelope, SessionVerb, shardOf, type SubmitHead, topicSubject } from "@hawser/wire";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type FakeOwner, Platform, SHARDS } from "./platform.ts";

let platform: Platform;
let sessions: FakeOwner;
let csg: FakeOwner;
const wait = { timeout: 25_000, interval: 20 };
let down: string;
let commands: string;
let later: string;
/** Without an SDK a span is its parent: the context passes through. */
const TRACEPARENT = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01";

beforeAll(async () => {
  platform = await Platform.start();
  down = `down-${platform.run}`;
  commands = `cmd-${platform.run}`;
  later = `later-${platform.run}`;
  const { admin } = platform;
  await Promise.all([admin.topic(down), admin.topic(commands, "FIFO"), admin.topic(later)]);
  await Promise.all([admin.group(`g-${down}`), admin.group(`g-${commands}`, { fifo: true }), admin.group(`g-${later}`)]);
  await platform.publish(catalogue());
  [sessions, csg] = await Promise.all([platform.playOwner("session"), platform.playOwner("csg")]);
  await platform.startRouter();
});

afterAll(() => platform.stop());

function catalogue(...more: object[]): Record<string, unknown> {
  return {
    csg: { group: "GID_gw", up: "csgUp", down: "csgDown" },
    groups: ["GID", "GID_gw"],
    parents: ["demo", "csgUp", "csgDown"],
    rules: [
      { id: "csg-up", kind: "actor", parent: "csgUp", service: "csg" },
      { id: "down", kind: "inbound", topic: down, consumerGroup: `g-${down}`, parent: "demo" },
      { id: "cmd", kind: "inbound", topic: commands, consumerGroup: `g-${commands}`, service: "csg", deviceProperty: "device_id", groupProperty: "group_id", group: "GID_gw" },
      ...more,
    ],
  };
}

/** What arrives live on a topic, in a list that grows. */
async function live(topic: string): Promise<Envelope[]> {
  const all: Envelope[] = [];
  platform.bus.subscribe(topicSubject("default", topic), ({ data }) => all.push(decodeEnvelope(data)));
  await platform.bus.flush();
  return all;
}

async function metric(name: string, labels: string): Promise<number> {
  const line = (await metricsRegistry.metrics()).split("\n").find((each) => each.startsWith(`${name}{`) && each.includes(labels));
  return Number(line?.split(" ").at(-1) ?? 0);
}

describe("RocketMQ to MQTT", () => {
  it("publishes live on the parent and its second topic, with what an MQTT 5 receiver is told", async () => {
    const seen = await live("demo/a/b");
    await platform.produce({
      topic: down,
      body: Buffer.from([0, 1, 255]),
      properties: [["mqttSecondTopic", "/a/b"], ["mqtt5-content-type", "text/plain"], ["color", "red"], ["clientId", "ignored"], ["qoslevel", "2"], ["traceparent", TRACEPARENT]],
    });
    await expect.poll(() => seen.length, wait).toBe(1);
    expect(seen[0]).toMatchObject({ topic: "demo/a/b", qos: 2, sender: "", retain: false, target: null, payload: Buffer.from([0, 1, 255]) });
    expect(decodeTraceparent(seen[0]!.trace!)).toBe(TRACEPARENT);
    expect(listProperties(seen[0]!.properties!).map(({ name, value }) => [name, value])).toEqual([["contentType", "text/plain"], ["userProperty", ["color", "red"]]]);
  });

  it("puts QoS 1 into the inboxes of persistent sessions, once, and QoS 0 not", async () => {
    const shard = 2;
    const entries = await platform.inbox(shard);
    await platform.bus.kv(buckets.filters).create(String(shard), Buffer.from(JSON.stringify({ version: 1, filters: [["default", "demo/kept/#"]] })));
    await expect.poll(() => platform.board.members("router")[0]?.versions["filters"] ?? 0, wait).toBeGreaterThan(0);
    for (const [qoslevel, body] of [["0", "live only"], ["1", "kept"]] as const) {
      await platform.produce({ topic: down, body: Buffer.from(body), properties: [["mqttSecondTopic", "/kept/x"], ["qoslevel", qoslevel]] });
    }
    await platform.produce({ topic: down, body: Buffer.from("other"), properties: [["mqttSecondTopic", "/other"]] });
    await platform.produce({ topic: down, body: Buffer.from("last"), properties: [["mqttSecondTopic", "/kept/y"]] });
    const bodies = (): string[] => entries.flatMap(({ messages }) => messages.map(({ envelope }) => decodeEnvelope(envelope).payload.toString()));
    await expect.poll(bodies, wait).toContain("last");
    await expect.poll(() => bodies().sort(), wait).toEqual(["kept", "last"]);
  });

  it("hands a P2P message to the owner of its receiver, shown with mqttRealTopic, storable when the sender says so", async () => {
    sessions.frames.length = 0;
    await platform.produce({ topic: down, body: Buffer.from("hello"), properties: [["mqttSecondTopic", "/p2p/GID@@@one"], ["mqttRealTopic", "shown/here"], ["cleansessionflag", "false"]] });
    await expect.poll(() => sessions.frames.length, wait).toBe(1);
    const { frame, shard } = sessions.frames[0]!;
    expect([frame.verb, shard]).toEqual([SessionVerb.p2p, shardOf("default", "GID@@@one", SHARDS)]);
    const request = decodeP2pRequest(frame.body);
    expect(request).toMatchObject({ instance: "default", storable: true, receiptTo: "" });
    expect(decodeEnvelope(request.envelope)).toMatchObject({ target: "GID@@@one", topic: "shown/here", qos: 1, payload: Buffer.from("hello") });
  });

  it("drops, counts and acknowledges what can reach nobody, and what it has itself sent", async () => {
    const acked = await metric("hawser_rocketmq_acks_total", 'outcome="ok"');
    const seen = await live("demo");
    const second = (value: string) => ({ topic: down, properties: [["mqttSecondTopic", value]] as const });
    await platform.produce(second("/a/+"));
    await platform.produce(second("/p2p/no-client-id"));
    await platform.produce(second(`/${"x".repeat(70)}`));
    await platform.produce({ topic: down, properties: [["hawser-origin", `default/${down}/demo`]] });
    await platform.produce({ topic: down, body: Buffer.alloc(70_000) });
    await platform.produce({ topic: down, body: Buffer.from("good"), properties: [["hawser-origin", `default/${down}/elsewhere`]] });
    await expect.poll(() => seen.map(({ payload }) => payload.toString()), wait).toEqual(["good"]);
    await expect.poll(() => metric("hawser_rocketmq_acks_total", 'outcome="ok"'), wait).toBeGreaterThanOrEqual(acked + 6);
    for (const [outcome, count] of [["bad-topic", 2], ["bad-client-id", 1], ["loop", 1], ["too-large", 1]] as const) {
      expect(await metric("hawser_rocketmq_received_messages_total", `rule="down",outcome="${outcome}"`)).toBe(count);
    }
  });

  it("starts and stops with its rule, without a restart", async () => {
    const seen = await live("demo/later");
    const properties = [["mqttSecondTopic", "/later"]] as const;
    await platform.produce({ topic: later, body: Buffer.from("waiting"), properties });
    await platform.publish(catalogue({ id: "later", kind: "inbound", topic: later, consumerGroup: `g-${later}`, parent: "demo" }));
    await expect.poll(() => seen.map(({ payload }) => payload.toString()), wait).toEqual(["waiting"]);
    const { revision } = await platform.publish(catalogue());
    await expect.poll(() => platform.board.members("router")[0]?.versions["catalog"], wait).toBe(revision);
    await platform.produce({ topic: later, body: Buffer.from("too late"), properties });
    const again = await live("demo/a/b");
    await platform.produce({ topic: down, properties: [["mqttSecondTopic", "/a/b"]] });
    await expect.poll(() => again.length, wait).toBe(1);
    expect(seen.length).toBe(1);
  });
});

describe("RocketMQ to actors", () => {
  it("submits to the owner of the device, in order, and acknowledges what was accepted", async () => {
    csg.frames.length = 0;
    csg.answer = () => ({ ok: true });
    for (let n = 0; n < 5; n++) {
      await platform.produce({ topic: commands, body: Buffer.from(`{"n":${n}}`), group: "gw-1", tag: "share", keys: [`k${n}`], properties: [["device_id", "gw-1"], ["subject", "gateway.ping"]] });
    }
    await expect.poll(() => csg.frames.length, wait).toBe(5);
    expect(csg.frames.map(({ frame }) => frame.body.toString())).toEqual([0, 1, 2, 3, 4].map((n) => `{"n":${n}}`));
    const { frame, shard } = csg.frames[0]!;
    expect([frame.verb, shard]).toEqual([ActorVerb.submit, shardOf("default", "GID_gw@@@gw-1", SHARDS)]);
    expect(frame.head as SubmitHead).toMatchObject({
      instance: "default",
      clientId: "GID_gw@@@gw-1",
      tag: "share",
      keys: ["k0"],
      properties: { device_id: "gw-1", subject: "gateway.ping" },
    });
  });

  it("tries again when the owner is busy, and takes a refusal as an answer", async () => {
    csg.frames.length = 0;
    const answers = [{ ok: false, code: "busy", reason: "full" }, { ok: false, code: "busy", reason: "full" }, { ok: false, code: "refused", reason: "no" }] as const;
    let asked = 0;
    csg.answer = () => answers[Math.min(asked++, 2)]!;
    const refused = await metric("hawser_rocketmq_received_messages_total", 'rule="cmd",outcome="refused"');
    await platform.produce({ topic: commands, group: "gw-2", properties: [["device_id", "gw-2"]] });
    await expect.poll(() => metric("hawser_rocketmq_received_messages_total", 'rule="cmd",outcome="refused"'), wait).toBe(refused + 1);
    expect(csg.frames.length).toBe(3);
  });

  const BUSY = { ok: false, code: "busy", reason: "full" } as const;

  /**
   * The owner is busy for the first until all are stored: the others come in one receive.
   * @returns the bodies that the owner was asked to take after that, in a list that grows
   */
  async function backlog(device: string, bodies: readonly string[], answer: (body: string) => Answer): Promise<string[]> {
    const asked: string[] = [];
    let stored = false;
    csg.answer = (frame) => {
      if (!stored) return BUSY;
      const body = frame.body.toString();
      asked.push(body);
      return answer(body);
    };
    for (const body of bodies) await platform.produce({ topic: commands, body: Buffer.from(body), group: device, properties: [["device_id", device]] });
    stored = true;
    return asked;
  }

  it("hands a backlog of a device over in rows, and nothing before what is ahead of it is taken", async () => {
    csg.rows = [];
    let busy = 2;
    const bodies = Array.from({ length: 8 }, (_, n) => String(n));
    const asked = await backlog("gw-3", bodies, (body) => {
      if (body === "4" && busy-- > 0) return BUSY;
      return body === "2" ? { ok: false, code: "refused", reason: "no" } : { ok: true };
    });
    await expect.poll(() => asked.at(-1), wait).toBe("7");
    expect(asked).toEqual(["0", "1", "2", "3", "4", "4", "4", "5", "6", "7"]);
    expect(Math.max(...csg.rows)).toBeGreaterThanOrEqual(4);
  });

  it("hands them over one by one to an owner that takes no rows", async () => {
    csg.rows = null;
    const bodies = Array.from({ length: 6 }, (_, n) => String(n));
    const asked = await backlog("gw-4", bodies, () => ({ ok: true }));
    await expect.poll(() => asked.at(-1), wait).toBe("5");
    expect(asked).toEqual(bodies);
    csg.rows = [];
  });

  it("sends what names no device, or one that cannot be, to the service all the same: it answers", async () => {
    csg.frames.length = 0;
    csg.answer = () => ({ ok: true });
    await platform.produce({ topic: commands, group: "a", properties: [["correlation_id", "x"]] });
    await platform.produce({ topic: commands, group: "b", properties: [["device_id", "not a device"], ["group_id", "GID"]] });
    await platform.produce({ topic: commands, group: "c", properties: [["device_id", "fine"], ["group_id", "GID"]] });
    const addressees = (): string[] => csg.frames.map(({ frame }) => (frame.head as SubmitHead).clientId).sort();
    await expect.poll(addressees, wait).toEqual(["GID@@@fine", "GID@@@unknown", "GID_gw@@@unknown"]);
  });
});
