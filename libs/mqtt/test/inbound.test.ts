import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { forwardableProperties, messageProperties } from "../src/index.ts";
import type { InboundSlot, MqttConnection } from "../src/types.ts";
import { levels, startHarness, type Harness } from "./raw-client.ts";

let harness: Harness;
beforeEach(async () => {
  harness = await startHarness();
});
afterEach(() => harness.stop());

const publish = (topic: string, qos: 0 | 1 | 2, messageId = 0, more: object = {}): any => ({ cmd: "publish", topic, payload: `p ${topic}`, qos, dup: false, retain: false, ...(qos > 0 && { messageId }), ...more });

/** Leaves answers to the test. */
function hold(): { connection: MqttConnection; slot: InboundSlot }[] {
  const held: { connection: MqttConnection; slot: InboundSlot }[] = [];
  harness.behaviour.publish = (connection, _packet, slot) => {
    if (slot !== null) held.push({ connection, slot });
  };
  return held;
}

describe("a PUBLISH of a client", () => {
  it.each(levels)("of level %i is handed on at each QoS and acknowledged as it must be", async (level) => {
    const client = await harness.connected(level);
    client.send(publish("a/0", 0), publish("a/1", 1, 11, { retain: true }), publish("a/2", 2, 12, { dup: true }));
    expect(await client.settle()).toMatchObject([{ cmd: "puback", messageId: 11 }, { cmd: "pubrec", messageId: 12 }]);
    client.send({ cmd: "pubrel", messageId: 12 });
    expect(await client.settle()).toMatchObject([{ cmd: "pubcomp", messageId: 12 }]);
    expect(harness.recorded.publishes.map(({ packet, slot }) => [packet.topic, packet.qos, packet.packetId, packet.retain, packet.dup, packet.payload.toString(), slot === null])).toEqual([
      ["a/0", 0, 0, false, false, "p a/0", true],
      ["a/1", 1, 11, true, false, "p a/1", false],
      ["a/2", 2, 12, false, true, "p a/2", false],
    ]);
  });

  it.each(levels)("of level %i is acknowledged in arrival order, a batch in one write", async (level) => {
    const held = hold();
    const client = await harness.connected(level);
    client.send(publish("1", 1, 1), publish("2", 2, 2), publish("3", 1, 3), publish("4", 1, 4));
    for (const i of [3, 1, 2]) client.connection.completePublish(held[i]!.slot);
    expect(await client.settle()).toEqual([]);
    client.connection.completePublish(held[0]!.slot);
    await new Promise((resolve) => setImmediate(resolve));
    expect(client.socket.written).toHaveLength(1);
    expect((await client.settle()).map((packet) => [packet.cmd, packet.messageId])).toEqual([["puback", 1], ["pubrec", 2], ["puback", 3], ["puback", 4]]);
  });

  it.each(levels)("of level %i with QoS 2 is handed on once, however often it is sent before its release", async (level) => {
    const held = hold();
    const client = await harness.connected(level);
    client.send(publish("once", 2, 5));
    client.send(publish("once", 2, 5, { dup: true }));
    expect(await client.settle()).toEqual([]);
    client.connection.completePublish(held[0]!.slot);
    expect((await client.settle()).map((packet) => packet.cmd)).toEqual(["pubrec"]);
    client.send(publish("once", 2, 5, { dup: true }));
    expect((await client.settle()).map((packet) => packet.cmd)).toEqual(["pubrec"]);
    expect(harness.recorded.publishes).toHaveLength(1);
    expect(harness.recorded.counts.duplicate).toBe(2);
    client.send({ cmd: "pubrel", messageId: 5 });
    expect((await client.settle()).map((packet) => packet.cmd)).toEqual(["pubcomp"]);
    // the id is free again: a new message
    client.send(publish("twice", 2, 5));
    await client.settle();
    expect(harness.recorded.publishes.map(({ packet }) => packet.topic)).toEqual(["once", "twice"]);
  });

  it.each(levels)("of level %i: PUBREL of an unknown id is completed", async (level) => {
    const client = await harness.connected(level);
    client.send({ cmd: "pubrel", messageId: 77 });
    expect((await client.settleBytes()).toString("hex")).toBe(level === 5 ? "7003004d92" : "7002004d");
  });

  it.each(levels)("of level %i: PUBREL waits for the handler where it wants to know of it", async (level) => {
    const releases: { packetId: number; slot: InboundSlot }[] = [];
    harness.behaviour.release = (_connection, packetId, slot) => void releases.push({ packetId, slot });
    const client = await harness.connected(level);
    client.send(publish("x", 2, 9));
    await client.settle();
    client.send({ cmd: "pubrel", messageId: 9 }, { cmd: "pubrel", messageId: 9 });
    expect(await client.settle()).toEqual([]);
    expect(releases.map((one) => one.packetId)).toEqual([9]);
    client.connection.completePublish(releases[0]!.slot);
    expect(await client.settle()).toMatchObject([{ cmd: "pubcomp", messageId: 9 }]);
  });

  it.each(levels)("of level %i: PUBREL before PUBREC breaks the protocol", async (level) => {
    hold();
    const client = await harness.connected(level);
    client.send(publish("x", 2, 9), { cmd: "pubrel", messageId: 9 });
    expect((await client.settleBytes()).toString("hex")).toBe(level === 5 ? "e00182" : "");
    expect(client.socket.ended).toBe(true);
  });

  it("that is refused: MQTT 5 gets the code, 3.x gets what is earlier and is closed", async () => {
    for (const level of levels) {
      const held = hold();
      const client = await harness.connected(level);
      client.send(publish("1", 1, 1), publish("2", 1, 2), publish("3", 1, 3));
      client.connection.completePublish(held[1]!.slot, 0x97, "quota");
      client.connection.completePublish(held[2]!.slot);
      expect(client.socket.ended).toBe(false);
      client.connection.completePublish(held[0]!.slot);
      const packets = await client.settle();
      if (level === 5) {
        expect(packets).toMatchObject([{ messageId: 1, reasonCode: 0 }, { messageId: 2, reasonCode: 0x97, properties: { reasonString: "quota" } }, { messageId: 3, reasonCode: 0 }]);
        expect(client.socket.ended).toBe(false);
      } else {
        expect(packets).toMatchObject([{ cmd: "puback", messageId: 1 }]);
        expect(client.socket.ended).toBe(true);
        expect(harness.recorded.closed.at(-1)).toMatchObject({ goodbye: false, reason: "publish refused", will: "publish" });
      }
    }
  });

  it("of MQTT 5 with QoS 2 that is refused frees its id", async () => {
    const held = hold();
    const client = await harness.connected(5);
    client.send(publish("x", 2, 9));
    client.connection.completePublish(held[0]!.slot, 0x87);
    expect(await client.settle()).toMatchObject([{ cmd: "pubrec", messageId: 9, reasonCode: 0x87 }]);
    client.send(publish("y", 2, 9));
    await client.settle();
    expect(harness.recorded.publishes).toHaveLength(2);
  });

  it("gets no reason string in its acknowledgement when the client declined problem information", async () => {
    const held = hold();
    const client = await harness.connected(5, { properties: { requestProblemInformation: false } });
    client.send(publish("x", 1, 9));
    client.connection.completePublish(held[0]!.slot, 0x87, "because");
    expect((await client.settleBytes()).toString("hex")).toBe("4003000987");
  });

  it("answered after the connection is gone does nothing", async () => {
    const held = hold();
    const client = await harness.connected(4);
    client.send(publish("x", 1, 9));
    client.connection.socketClosed("socket closed");
    client.connection.completePublish(held[0]!.slot);
    expect(await client.settle()).toEqual([]);
  });
});

describe("the inbound window of a connection", () => {
  it("pauses a 3.x socket at its count and resumes it at half; what was read already is held and kept in order", async () => {
    await harness.stop();
    harness = await startHarness({ inboundWindowMessages: 4 });
    const held = hold();
    const client = await harness.connected(4);
    client.send(...Array.from({ length: 10 }, (_, i) => publish(`t${i}`, 1, i + 1)));
    expect(held).toHaveLength(4);
    expect(client.socket.paused).toBe(true);
    expect(harness.recorded.counts["paused window"]).toBe(1);
    client.connection.completePublish(held[0]!.slot);
    await client.settle();
    expect(client.socket.paused).toBe(true);
    client.connection.completePublish(held[1]!.slot);
    await client.settle();
    // two acknowledged, two more of the held ones handed on: full again
    expect(held).toHaveLength(6);
    for (let i = 2; i < 10; i++) {
      client.connection.completePublish(held[i]!.slot);
      await client.settle();
    }
    expect(client.socket.paused).toBe(false);
    expect(harness.recorded.publishes.map(({ packet }) => packet.topic)).toEqual(Array.from({ length: 10 }, (_, i) => `t${i}`));
  });

  it.each(levels)("pauses the socket at its bytes (level %i)", async (level) => {
    await harness.stop();
    harness = await startHarness({ inboundWindowBytes: 2000 });
    const held = hold();
    const client = await harness.connected(level);
    client.send(publish("big", 1, 1, { payload: Buffer.alloc(2000) }));
    expect(client.socket.paused).toBe(true);
    client.connection.completePublish(held[0]!.slot);
    await client.settle();
    expect(client.socket.paused).toBe(false);
  });

  it("with RETAIN closes an MQTT 5 client that was told that there is no retain, and no other", async () => {
    harness.behaviour.connect = (connection) => connection.acceptConnect({ sessionPresent: false, retainAvailable: false });
    for (const [level, bytes] of [[5, "e0019a"], [4, ""]] as const) {
      const client = await harness.connected(level);
      client.send(publish("r", 0, 0, { retain: true }));
      expect((await client.settleBytes()).toString("hex")).toBe(bytes);
      expect(client.connection.isOpen).toBe(level === 4);
    }
    expect(harness.recorded.publishes).toHaveLength(1);
  });

  it("closes an MQTT 5 client that exceeds our Receive Maximum with 0x93", async () => {
    await harness.stop();
    harness = await startHarness({ inboundWindowMessages: 3 });
    hold();
    const client = await harness.connected(5);
    client.send(publish("1", 1, 1), publish("2", 2, 2), publish("3", 1, 3));
    expect(await client.settle()).toEqual([]);
    expect(client.connection.isOpen).toBe(true);
    client.send(publish("4", 2, 4));
    expect((await client.settleBytes()).toString("hex")).toBe("e00193");
    expect(harness.recorded.counts["malformed receive maximum exceeded"]).toBe(1);
    expect(harness.recorded.publishes).toHaveLength(3);
  });

  it("counts a QoS 2 message of MQTT 5 until its PUBCOMP", async () => {
    await harness.stop();
    harness = await startHarness({ inboundWindowMessages: 1 });
    const client = await harness.connected(5);
    client.send(publish("1", 2, 1));
    await client.settle();
    client.send({ cmd: "pubrel", messageId: 1 });
    await client.settle();
    client.send(publish("2", 2, 2));
    await client.settle();
    expect(client.connection.isOpen).toBe(true);
    client.send(publish("3", 1, 3));
    expect((await client.settleBytes()).toString("hex")).toBe("e00193");
  });

  it.each([3, 4] as const)("bounds the QoS 2 ids a client of level %i holds open", async (level) => {
    await harness.stop();
    harness = await startHarness({ maxOpenReceiveIds: 10 });
    const client = await harness.connected(level);
    for (let id = 1; id <= 11; id++) client.send(publish("x", 2, id));
    await client.settle();
    expect(harness.recorded.publishes).toHaveLength(10);
    expect(client.socket.ended).toBe(true);
    expect(harness.recorded.closed[0]!.openReceiveIds).toHaveLength(10);
  });

  it("survives a storm of PUBREL and repeated PUBLISH without growing beyond its bytes", async () => {
    await harness.stop();
    harness = await startHarness({ inboundWindowBytes: 1000 });
    hold();
    const client = await harness.connected(4);
    client.send(publish("head", 1, 1));
    client.send(...Array.from({ length: 5000 }, (_, i) => ({ cmd: "pubrel", messageId: 1 + (i % 60_000) }) as const));
    expect(client.socket.paused).toBe(true);
    expect(await client.settle()).toEqual([]);
  });

  it("takes over the open QoS 2 ids of a session", async () => {
    harness.behaviour.connect = (connection) => connection.acceptConnect({ sessionPresent: true, openReceiveIds: [40] });
    const client = await harness.connected(4, { clean: false });
    client.send(publish("x", 2, 40, { dup: true }));
    expect(await client.settle()).toMatchObject([{ cmd: "pubrec", messageId: 40 }]);
    expect(harness.recorded.publishes).toHaveLength(0);
    client.connection.socketClosed("socket closed");
    expect(harness.recorded.closed[0]!.openReceiveIds).toEqual([40]);
  });

  it("is exempt from keep alive while it is full, and the handler may stop reading too", async () => {
    const client = await harness.connected(4, { keepalive: 1 });
    client.connection.pauseReading();
    expect(client.socket.paused).toBe(true);
    for (let tick = 0; tick < 50; tick++) harness.acceptor.advance();
    expect(client.connection.isOpen).toBe(true);
    client.send(publish("late", 0));
    expect(harness.recorded.publishes).toHaveLength(0);
    client.connection.resumeReading();
    expect(client.socket.paused).toBe(false);
    expect(harness.recorded.publishes).toHaveLength(1);
  });
});

describe("properties of a PUBLISH of MQTT 5", () => {
  it("are handed on as they came, and forwarded in order without alias", async () => {
    const client = await harness.connected(5);
    // user b=1, alias 3, expiry 9, user a=2, user b=3, correlation 00ff
    const block = "26000162000131 230003 0200000009 26000161000132 26000162000133 09000200ff".replaceAll(" ", "");
    const body = `000174 ${(block.length / 2).toString(16)} ${block} 78`.replaceAll(" ", "");
    client.hex(`30${(body.length / 2).toString(16)}`, body);
    const { packet } = harness.recorded.publishes[0]!;
    expect(packet.properties!.toString("hex")).toBe(block);
    const forwarded = forwardableProperties(packet.properties);
    expect(forwarded!.toString("hex")).toBe(block.replace("230003", ""));
    expect(messageProperties(forwarded)).toEqual({ expirySeconds: 9, correlationData: Buffer.from([0, 255]), userProperties: [["b", "1"], ["a", "2"], ["b", "3"]] });
    expect(forwardableProperties(forwarded)).toBe(forwarded);
    expect(forwardableProperties(Buffer.from("230003", "hex"))).toBeNull();
  });

  it("resolve topic aliases, which may be set anew", async () => {
    const client = await harness.connected(5);
    const alias = (topic: string, topicAlias: number): any => publish(topic, 0, 0, { properties: { topicAlias } });
    client.send(alias("one", 1), alias("two", 16), alias("", 1), alias("three", 1), alias("", 1), alias("", 16));
    expect(harness.recorded.publishes.map(({ packet }) => packet.topic)).toEqual(["one", "two", "one", "three", "three", "two"]);
  });

  it.each([
    ["alias 0", "3007 0001 74 03 230000", "94"],
    ["alias above the maximum", "3007 0001 74 03 230011", "94"],
    ["alias never set", "3006 0000 03 230005", "82"],
    ["no topic and no alias", "3003 0000 00", "82"],
    ["alias twice", "300a 0001 74 06 230001230001", "82"],
    ["subscription identifier", "3006 0001 74 02 0b01", "81"],
    ["payload format 2", "3006 0001 74 02 0102", "82"],
    ["response topic with a wildcard", "3009 0001 74 05 080002612b", "82"],
    ["content type that is not UTF-8", "3008 0001 74 04 030001ff", "81"],
    ["property block longer than the packet", "3004 0001 74 05", "81"],
    ["property length not in its shortest form", "3005 0001 74 8000", "81"],
    ["remaining length not in its shortest form", "308400 0001 74 00", "81"],
    ["QoS 3", "3606 0001 74 0001 00", "81"],
    ["DUP with QoS 0", "3804 0001 74 00", "81"],
    ["packet id 0", "3206 0001 74 0000 00", "82"],
    ["topic longer than the packet", "3004 0009 7400", "81"],
    ["topic with U+0000", "3004 0001 00 00", "81"],
  ])("that are wrong (%s) close the connection with the right code", async (_what, bytes, code) => {
    const client = await harness.connected(5);
    client.hex(bytes);
    expect((await client.settleBytes()).toString("hex")).toBe(`e001${code}`);
    expect(client.socket.ended).toBe(true);
    expect(harness.recorded.publishes).toHaveLength(0);
    expect(harness.recorded.closed[0]).toMatchObject({ goodbye: false, reasonCode: Number.parseInt(code, 16), will: "publish" });
  });
});
