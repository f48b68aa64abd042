import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { encodeMessageProperties, OutgoingPublish } from "../src/index.ts";
import { levels, startHarness, turn, type Harness } from "./raw-client.ts";

let harness: Harness;
beforeEach(async () => {
  harness = await startHarness({ outboundWindowMessages: 3 });
});
afterEach(() => harness.stop());

function message(topic: string, payload: Buffer | string = "x", properties: Buffer | null = null): OutgoingPublish {
  return new OutgoingPublish({ topic, payload: Buffer.from(payload), properties });
}

const to = (qos: 0 | 1 | 2, item: unknown = null, more: object = {}) => ({ qos, retain: false, item, ...more });

describe("a delivery", () => {
  it.each(levels)("of level %i at QoS 0 is written once per tick for all of a tick, and reported then", async (level) => {
    const client = await harness.connected(level);
    for (let i = 0; i < 5; i++) expect(client.connection.deliver(message(`t${i}`), to(0, `i${i}`))).toBe("queued");
    expect(client.socket.written).toHaveLength(0);
    await turn();
    expect(client.socket.written).toHaveLength(1);
    expect((await client.settle()).map((packet: any) => packet.topic)).toEqual(["t0", "t1", "t2", "t3", "t4"]);
    expect(harness.recorded.delivered).toEqual([0, 1, 2, 3, 4].map((i) => ({ item: `i${i}`, outcome: "written", reasonCode: 0 })));
  });

  it("of QoS 0 alone in a tick is the shared buffer itself, for every client", async () => {
    const [one, two] = [await harness.connected(4), await harness.connected(4)];
    const shared = message("t");
    one.connection.deliver(shared, to(0));
    two.connection.deliver(shared, to(0));
    await turn();
    expect(one.socket.written[0]).toBe(two.socket.written[0]);
  });

  it.each(levels)("of level %i at QoS 1 is acknowledged, the window kept, the rest sent as it opens", async (level) => {
    const client = await harness.connected(level);
    for (let i = 0; i < 5; i++) client.connection.deliver(message(`t${i}`), to(1, i));
    const first = await client.settle();
    expect(first.map((packet: any) => [packet.topic, packet.messageId, packet.qos, packet.dup])).toEqual([["t0", 1, 1, false], ["t1", 2, 1, false], ["t2", 3, 1, false]]);
    expect([client.connection.inFlight, client.connection.queued]).toEqual([3, 2]);
    client.send({ cmd: "puback", messageId: 2 });
    expect((await client.settle()).map((packet: any) => [packet.topic, packet.messageId])).toEqual([["t3", 4]]);
    client.send({ cmd: "puback", messageId: 1 }, { cmd: "puback", messageId: 3 }, { cmd: "puback", messageId: 4 });
    expect((await client.settle()).map((packet: any) => packet.topic)).toEqual(["t4"]);
    expect(harness.recorded.delivered.map((one) => one.item)).toEqual([1, 0, 2, 3]);
    client.connection.socketClosed("socket closed");
    expect(harness.recorded.closed[0]!.undelivered).toEqual([{ item: 4, packetId: 5, state: "sent" }]);
  });

  it.each(levels)("of level %i at QoS 2 goes through its four packets", async (level) => {
    const client = await harness.connected(level);
    client.connection.deliver(message("t"), to(2, "item"));
    expect(await client.settle()).toMatchObject([{ cmd: "publish", qos: 2, messageId: 1 }]);
    client.send({ cmd: "pubrec", messageId: 1 });
    expect((await client.settleBytes()).toString("hex")).toBe("62020001");
    client.send({ cmd: "pubrec", messageId: 1 });
    expect((await client.settleBytes()).toString("hex")).toBe("62020001");
    expect(harness.recorded.delivered).toEqual([]);
    client.send({ cmd: "pubcomp", messageId: 1 });
    await client.settle();
    expect(harness.recorded.delivered).toEqual([{ item: "item", outcome: "acknowledged", reasonCode: 0 }]);
    expect(client.connection.inFlight).toBe(0);
  });

  it.each(levels)("of level %i interrupted in each state is given back, and goes on under its id on the next connection", async (level) => {
    const client = await harness.connected(level);
    for (const name of ["sent", "released", "late"]) client.connection.deliver(message(name), to(2, name));
    client.connection.deliver(message("queued"), to(1, "queued"));
    await client.settle();
    client.send({ cmd: "pubrec", messageId: 2 });
    await client.settle();
    client.connection.socketClosed("socket closed");
    const { undelivered } = harness.recorded.closed[0]!;
    expect(undelivered).toEqual([
      { item: "sent", packetId: 1, state: "sent" },
      { item: "released", packetId: 2, state: "released" },
      { item: "late", packetId: 3, state: "sent" },
      { item: "queued", packetId: 0, state: "queued" },
    ]);
    const again = await harness.connected(level);
    for (const { item, packetId, state } of undelivered) {
      if (state === "released") again.connection.deliverRelease(packetId, item);
      else again.connection.deliver(message(item as string), to(item === "queued" ? 1 : 2, item, { packetId, dup: state === "sent" }));
    }
    expect((await again.settle()).map((packet: any) => [packet.cmd, packet.topic, packet.messageId, packet.dup])).toEqual([
      ["publish", "sent", 1, true],
      ["pubrel", null, 2, false],
      ["publish", "late", 3, true],
    ]);
    again.send({ cmd: "pubcomp", messageId: 2 });
    expect((await again.settle()).map((packet: any) => [packet.topic, packet.messageId, packet.dup])).toEqual([["queued", 2, false]]);
  });

  it("to MQTT 5 respects the client's Receive Maximum", async () => {
    const client = await harness.connected(5, { properties: { receiveMaximum: 1 } });
    client.connection.deliver(message("a"), to(1));
    client.connection.deliver(message("b"), to(2));
    expect(await client.settle()).toMatchObject([{ topic: "a" }]);
    client.send({ cmd: "puback", messageId: 1 });
    expect(await client.settle()).toMatchObject([{ topic: "b" }]);
  });

  it("to MQTT 5 carries properties and all subscription identifiers; to 3.1.1 neither", async () => {
    const properties = encodeMessageProperties({ contentType: "json", userProperties: [["b", "1"], ["a", "2"]] });
    const publish = message("t", "x", properties);
    const [five, four] = [await harness.connected(5), await harness.connected(4)];
    for (const client of [five, four]) client.connection.deliver(publish, to(1, null, { identifiers: [3, 300], retain: true }));
    expect(await five.settle()).toMatchObject([{ retain: true, properties: { contentType: "json", userProperties: { b: "1", a: "2" }, subscriptionIdentifier: [3, 300] } }]);
    expect((await four.settleBytes()).toString("hex")).toBe("3306" + "000174" + "0001" + "78");
  });

  it("larger than the client's Maximum Packet Size is not sent and not counted as in flight", async () => {
    const client = await harness.connected(5, { properties: { maximumPacketSize: 60 } });
    for (const qos of [0, 1, 2] as const) {
      expect(client.connection.deliver(message("t", Buffer.alloc(60)), to(qos, "item"))).toBe("too-large");
      expect(client.connection.deliver(message("t", Buffer.alloc(20)), to(qos))).toBe("queued");
    }
    expect(await client.settle()).toHaveLength(3);
    expect(harness.recorded.counts.droppedTooLarge).toBe(3);
    expect(harness.recorded.delivered).toEqual([]);
  });

  it("refused by an MQTT 5 client is done, with its reason code", async () => {
    const client = await harness.connected(5);
    client.connection.deliver(message("a"), to(1, "one"));
    client.connection.deliver(message("b"), to(2, "two"));
    await client.settle();
    client.send({ cmd: "puback", messageId: 1, reasonCode: 0x83 } as any, { cmd: "pubrec", messageId: 2, reasonCode: 0x97 } as any);
    await client.settle();
    expect(harness.recorded.delivered).toEqual([
      { item: "one", outcome: "acknowledged", reasonCode: 0x83 },
      { item: "two", outcome: "acknowledged", reasonCode: 0x97 },
    ]);
    expect(client.connection.inFlight).toBe(0);
  });

  it.each(levels)("of level %i: acknowledgements of unknown ids change nothing, PUBREC is answered", async (level) => {
    const client = await harness.connected(level);
    client.send({ cmd: "puback", messageId: 5 }, { cmd: "pubcomp", messageId: 5 }, { cmd: "pubrec", messageId: 5 });
    expect((await client.settleBytes()).toString("hex")).toBe(level === 5 ? "6203000592" : "62020005");
    expect(client.connection.isOpen).toBe(true);
  });

  it.each(levels)("of level %i: an acknowledgement of the wrong kind breaks the protocol", async (level) => {
    const client = await harness.connected(level);
    client.connection.deliver(message("a"), to(2));
    await client.settle();
    client.send({ cmd: "puback", messageId: 1 });
    expect((await client.settleBytes()).toString("hex")).toBe(level === 5 ? "e00182" : "");
    expect(client.connection.isClosed).toBe(true);
  });

  it("whose expiry interval passes while it waits is not sent", async () => {
    await harness.stop();
    harness = await startHarness({ outboundWindowMessages: 1 });
    const client = await harness.connected(5);
    const expiring = (receivedAtMs: number): OutgoingPublish => new OutgoingPublish({ topic: "t", payload: Buffer.alloc(0), properties: encodeMessageProperties({ expirySeconds: 5 }), receivedAtMs });
    client.connection.deliver(message("first"), to(1));
    // one second is left when it is queued, none when the window opens
    const publish = expiring(Date.now() - 4000);
    expect(client.connection.deliver(publish, to(1, "waiting"))).toBe("queued");
    await client.settle();
    publish.countDown = () => false;
    client.send({ cmd: "puback", messageId: 1 });
    expect(await client.settle()).toEqual([]);
    expect(harness.recorded.delivered).toEqual([{ item: "waiting", outcome: "expired", reasonCode: 0 }]);
    expect(client.connection.deliver(expiring(Date.now() - 6000), to(0))).toBe("expired");
    expect(harness.recorded.counts.expired).toBe(2);
  });

  it.each(levels)("of level %i made while CONNACK is on its way comes behind it", async (level) => {
    harness.behaviour.connect = (connection) => {
      connection.acceptConnect({ sessionPresent: false });
      connection.deliver(message("early"), to(1));
      connection.deliver(message("early too"), to(0));
    };
    const client = await harness.connected(level);
    expect((await client.settle()).map((packet: any) => packet.topic)).toEqual(["early", "early too"]);
  });

  it.each(levels)("of level %i that is large and made while CONNACK is on its way comes behind it", async (level) => {
    harness.behaviour.connect = (connection) => {
      connection.acceptConnect({ sessionPresent: false });
      for (let i = 0; i < 3; i++) connection.deliver(message("large", Buffer.alloc(60_000)), to(1));
    };
    const client = await harness.connected(level);
    expect((await client.settle()).map((packet: any) => packet.topic)).toEqual(["large", "large", "large"]);
  });

  it("to a closed connection is dropped", async () => {
    const client = await harness.connected(4);
    client.connection.socketClosed("socket closed");
    expect(client.connection.deliver(message("t"), to(1))).toBe("dropped");
    expect(client.connection.deliverRelease(1, null)).toBe("dropped");
  });

  it.each(levels)("pending at level %i when the server closes still leaves, ahead of DISCONNECT, and is reported", async (level) => {
    const client = await harness.connected(level);
    client.connection.deliver(message("t"), to(0, "zero"));
    client.connection.deliver(message("t"), to(1, "one"));
    client.connection.close({ reasonCode: 0x8b, reason: "shutting down" });
    expect(client.socket.written).toHaveLength(1);
    expect((await client.settle()).map((packet) => packet.cmd)).toEqual(level === 5 ? ["publish", "publish", "disconnect"] : ["publish", "publish"]);
    expect(harness.recorded.delivered).toEqual([{ item: "zero", outcome: "written", reasonCode: 0 }]);
    expect(harness.recorded.closed[0]!.undelivered).toEqual([{ item: "one", packetId: 1, state: "sent" }]);
  });

  it("may close the connection from the report of an earlier one", async () => {
    harness.behaviour.delivered = (connection) => connection.close({ reasonCode: 0x98, reason: "enough" });
    const client = await harness.connected(5);
    client.connection.deliver(message("a"), to(0, "a"));
    client.connection.deliver(message("b"), to(0, "b"));
    expect((await client.settle()).map((packet) => packet.cmd)).toEqual(["publish", "publish", "disconnect"]);
    expect(harness.recorded.closed).toHaveLength(1);
  });
});

describe("a slow consumer", () => {
  const settings = { slowConsumerBytes: 10_000, slowConsumerCloseBytes: 50_000, slowConsumerCloseMs: 5000, outboundQueueMessages: 5, outboundWindowMessages: 100 };
  beforeEach(async () => {
    await harness.stop();
    harness = await startHarness(settings);
  });

  it("loses QoS 0, counted; QoS 1 waits, bounded; when it reads again the rest follows", async () => {
    const client = await harness.connected(4);
    client.socket.isStuck = true;
    client.connection.deliver(message("big", Buffer.alloc(11_000)), to(0));
    await client.settle();
    expect(client.connection.deliver(message("t"), to(0))).toBe("dropped");
    expect(harness.recorded.counts.droppedQos0).toBe(1);
    for (let i = 0; i < 5; i++) expect(client.connection.deliver(message(`q${i}`), to(1, i))).toBe("queued");
    expect(client.connection.deliver(message("q5"), to(1, 5))).toBe("dropped");
    expect(harness.recorded.counts.droppedQueueFull).toBe(1);
    expect(await client.settle()).toEqual([]);
    client.socket.isStuck = false;
    client.socket.writableLength = 0;
    client.connection.drained();
    expect((await client.settle()).map((packet: any) => packet.topic)).toEqual(["q0", "q1", "q2", "q3", "q4"]);
    expect(client.connection.deliver(message("t"), to(0))).toBe("queued");
  });

  it("is not one that takes a large burst of one tick", async () => {
    const client = await harness.connected(4);
    const large = message("t", Buffer.alloc(9000));
    for (let i = 0; i < 100; i++) expect(client.connection.deliver(large, to(0))).toBe("queued");
    expect(await client.settle()).toHaveLength(100);
  });

  it("that does not recover in time is closed with 0x97, one that does is not", async () => {
    const [stuck, recovering] = [await harness.connected(5), await harness.connected(5)];
    for (const client of [stuck, recovering]) {
      client.socket.isStuck = true;
      client.connection.deliver(message("big", Buffer.alloc(11_000)), to(0));
      await client.settle();
    }
    for (let tick = 0; tick < 10; tick++) harness.acceptor.advance();
    recovering.socket.writableLength = 0;
    recovering.socket.isStuck = false;
    for (let tick = 0; tick < 20; tick++) harness.acceptor.advance();
    expect([stuck.connection.isClosed, recovering.connection.isClosed]).toEqual([true, false]);
    expect((await stuck.settleBytes()).toString("hex")).toBe("e00197");
    expect(harness.recorded.closed).toMatchObject([{ reason: "slow consumer", reasonCode: 0x97 }]);
  });

  it("that makes acknowledgements pile up is not read any more, until it reads", async () => {
    const client = await harness.connected(4);
    client.socket.isStuck = true;
    client.socket.writableLength = 21_000;
    client.send({ cmd: "publish", topic: "t", payload: "", qos: 1, messageId: 1, dup: false, retain: false });
    await client.settleBytes();
    expect(client.socket.paused).toBe(true);
    expect(harness.recorded.counts["paused output"]).toBe(1);
    client.socket.writableLength = 0;
    harness.acceptor.advance();
    expect(client.socket.paused).toBe(false);
  });

  it("beyond the hard limit is closed at once", async () => {
    const client = await harness.connected(4);
    client.socket.isStuck = true;
    client.connection.deliver(message("big", Buffer.alloc(51_000)), to(0));
    await client.settle();
    expect(client.connection.isClosed).toBe(true);
  });

  it("never holds up another connection", async () => {
    const [slow, fast] = [await harness.connected(4), await harness.connected(4)];
    slow.socket.isStuck = true;
    slow.socket.writableLength = 20_000;
    const publish = message("t");
    for (let i = 0; i < 10; i++) for (const client of [slow, fast]) client.connection.deliver(publish, to(0));
    expect(await fast.settle()).toHaveLength(10);
  });
});
