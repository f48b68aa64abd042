import type { Packet } from "mqtt-packet";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { levels, startHarness, type Harness, type Level } from "./raw-client.ts";

let harness: Harness;
beforeEach(async () => {
  harness = await startHarness();
});
afterEach(() => harness.stop());

describe("SUBSCRIBE", () => {
  it.each(levels)("of level %i is handed on and answered with what was granted, not what was asked", async (level) => {
    harness.behaviour.subscribe = (connection, request) => connection.answerSubscribe(request.packetId, [0, 1, 0x87, 2]);
    const client = await harness.connected(level);
    client.send({ cmd: "subscribe", messageId: 513, subscriptions: [{ topic: "a/+", qos: 2 }, { topic: "b/#", qos: 1 }, { topic: "no", qos: 1 }, { topic: "c", qos: 2 }] });
    expect(await client.settle()).toMatchObject([{ cmd: "suback", messageId: 513, granted: [0, 1, level === 5 ? 0x87 : 0x80, 2] }]);
    expect(harness.recorded.subscribes).toMatchObject([{ packetId: 513, identifier: 0, subscriptions: [{ filter: "a/+", qos: 2, noLocal: false, retainAsPublished: false, retainHandling: 0 }, { filter: "b/#" }, { filter: "no" }, { filter: "c" }] }]);
  });

  it.each(levels)("of level %i with one filter twice, a wrong one and a very deep one gets a code for each", async (level) => {
    harness.behaviour.subscribe = (connection, request) => connection.answerSubscribe(request.packetId, [1, 2, 0x8f, 0x97, 1]);
    const client = await harness.connected(level);
    const filters = ["same", "same", "a/#/b", "x/".repeat(300), "same"];
    client.send({ cmd: "subscribe", messageId: 1, subscriptions: filters.map((topic) => ({ topic, qos: 2 })) });
    expect(await client.settle()).toMatchObject([{ granted: level === 5 ? [1, 2, 0x8f, 0x97, 1] : [1, 2, 0x80, 0x80, 1] }]);
    expect(harness.recorded.subscribes[0]!.subscriptions.map((one) => one.filter)).toEqual(filters);
    expect(client.connection.isOpen).toBe(true);
  });

  it.each(levels)("of level %i may be answered later and in another order, and repeated", async (level) => {
    harness.behaviour.subscribe = () => {};
    const client = await harness.connected(level);
    for (let id = 1; id <= 3; id++) client.send({ cmd: "subscribe", messageId: id, subscriptions: [{ topic: "t", qos: 1 }] });
    await client.settle();
    for (const id of [2, 3, 1]) client.connection.answerSubscribe(id, [id % 3]);
    expect((await client.settle()).map((packet: any) => [packet.messageId, packet.granted[0]])).toEqual([[2, 2], [3, 0], [1, 1]]);
  });

  it("of MQTT 5 hands on options and identifier", async () => {
    const client = await harness.connected(5);
    client.send({ cmd: "subscribe", messageId: 1, properties: { subscriptionIdentifier: 268_435_455 }, subscriptions: [{ topic: "a", qos: 1, nl: true, rap: true, rh: 2 }] });
    await client.settle();
    expect(harness.recorded.subscribes).toEqual([{ packetId: 1, identifier: 268_435_455, subscriptions: [{ filter: "a", qos: 1, noLocal: true, retainAsPublished: true, retainHandling: 2 }] }]);
  });

  it("of MQTT 5 is answered with a reason string unless that was declined", async () => {
    harness.behaviour.subscribe = (connection, request) => connection.answerSubscribe(request.packetId, [0x97], "30 filters are enough");
    for (const requestProblemInformation of [true, false]) {
      const client = await harness.connected(5, { properties: { requestProblemInformation } });
      client.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "a", qos: 1 }] });
      const [suback] = (await client.settle()) as any[];
      expect(suback.properties?.reasonString).toBe(requestProblemInformation ? "30 filters are enough" : undefined);
    }
  });

  it.each<[string, Level, string, string]>([
    ["no filters", 4, "8202 0001", ""],
    ["packet id 0", 4, "8206 0000 0001 61 00", ""],
    ["flags 0", 4, "8006 0001 0001 61 00", ""],
    ["QoS 3", 4, "8206 0001 0001 61 03", ""],
    ["reserved option bits", 4, "8206 0001 0001 61 04", ""],
    ["a filter without options", 4, "8205 0001 0001 61", ""],
    ["a filter longer than the packet", 4, "8206 0001 0009 61 00", ""],
    ["a filter that is not UTF-8", 4, "8206 0001 0001 ff 00", ""],
    ["flags with DUP", 4, "8a06 0001 0001 61 00", ""],
    ["no filters", 5, "8203 0001 00", "82"],
    ["packet id 0", 5, "8207 0000 00 0001 61 00", "82"],
    ["reserved option bits", 5, "8207 0001 00 0001 61 40", "81"],
    ["retain handling 3", 5, "8207 0001 00 0001 61 30", "82"],
    ["identifier 0", 5, "8209 0001 02 0b00 0001 61 00", "82"],
    ["identifier twice", 5, "820b 0001 04 0b010b01 0001 61 00", "82"],
    ["no local on a shared subscription", 5, "820e 0001 00 0008 2473686172652f61 04", "82"],
    ["a property of another packet", 5, "820a 0001 03 230001 0001 61 00", "81"],
  ])("with %s (level %i) closes the connection", async (_what, level, bytes, code) => {
    const client = await harness.connected(level);
    client.hex(bytes);
    expect((await client.settleBytes()).toString("hex")).toBe(code === "" ? "" : `e001${code}`);
    expect(client.socket.ended).toBe(true);
    expect(harness.recorded.subscribes).toHaveLength(0);
  });

  it("of 3.1 may be repeated with DUP", async () => {
    const client = await harness.connected(3);
    client.hex("8a06 0001 0001 61 01");
    expect((await client.settleBytes()).toString("hex")).toBe("9003000101");
  });
});

describe("UNSUBSCRIBE", () => {
  it.each(levels)("of level %i is handed on and answered", async (level) => {
    harness.behaviour.unsubscribe = (connection, request) => connection.answerUnsubscribe(request.packetId, [0, 0x11]);
    const client = await harness.connected(level);
    client.send({ cmd: "unsubscribe", messageId: 300, unsubscriptions: ["a/#", "not/#/valid"] });
    expect(harness.recorded.unsubscribes).toEqual([{ packetId: 300, filters: ["a/#", "not/#/valid"] }]);
    expect((await client.settleBytes()).toString("hex")).toBe(level === 5 ? "b005012c000011" : "b002012c");
  });

  it.each(levels)("of level %i without filters closes the connection", async (level) => {
    const client = await harness.connected(level);
    client.hex(level === 5 ? "a203000100" : "a2020001");
    expect((await client.settleBytes()).toString("hex")).toBe(level === 5 ? "e00182" : "");
    expect(client.socket.ended).toBe(true);
  });
});

describe("hundreds of control packets in one chunk", () => {
  it.each(levels)("of level %i are all answered, in order", async (level) => {
    const client = await harness.connected(level);
    const ids = Array.from({ length: 300 }, (_, i) => i + 1);
    client.send(
      ...ids.flatMap((messageId): Packet[] => [
        { cmd: "subscribe", messageId, subscriptions: [{ topic: `t/${messageId}`, qos: 1 }] },
        { cmd: "unsubscribe", messageId: messageId + 1000, unsubscriptions: [`t/${messageId}`] },
        { cmd: "pingreq" },
      ]),
    );
    let packets: { cmd: string; messageId?: number }[] = [];
    for (let i = 0; i < 100 && packets.length < 900; i++) packets = packets.concat(await client.settle());
    expect(packets.filter((packet) => packet.cmd === "suback").map((packet) => packet.messageId)).toEqual(ids);
    expect(packets.filter((packet) => packet.cmd === "unsuback").map((packet) => packet.messageId)).toEqual(ids.map((id) => id + 1000));
    expect(packets.filter((packet) => packet.cmd === "pingresp")).toHaveLength(300);
  });
});

describe("PINGREQ", () => {
  it.each(levels)("of level %i is answered", async (level) => {
    const client = await harness.connected(level);
    client.hex("c000c000");
    expect((await client.settleBytes()).toString("hex")).toBe("d000d000");
  });

  it.each(["c10000", "c00100"])("that is malformed (%s) closes the connection", async (bytes) => {
    const client = await harness.connected(4);
    client.hex(bytes);
    await client.settle();
    expect(client.socket.ended).toBe(true);
  });
});

describe("keep alive", () => {
  it.each(levels)("of level %i: silence of one and a half times closes the connection, a ping keeps it", async (level) => {
    const [silent, alive] = [await harness.connected(level, { keepalive: 10 }), await harness.connected(level, { keepalive: 10 })];
    for (let tick = 0; tick < 60; tick++) {
      harness.acceptor.advance();
      if (tick % 40 === 39) alive.hex("c000");
    }
    expect(silent.connection.isOpen).toBe(true);
    for (let tick = 0; tick < 2; tick++) harness.acceptor.advance();
    expect([silent.connection.isClosed, alive.connection.isOpen]).toEqual([true, true]);
    expect((await silent.settleBytes()).toString("hex")).toBe(level === 5 ? "e0018d" : "");
    expect(harness.recorded.closed).toMatchObject([{ goodbye: false, reason: "keep alive timeout", reasonCode: 0x8d, will: "publish" }]);
  });

  it("of 0 never closes, and the server's own value wins over the client's", async () => {
    const forever = await harness.connected(4, { keepalive: 0 });
    harness.behaviour.connect = (connection) => connection.acceptConnect({ sessionPresent: false, serverKeepAliveSeconds: 1 });
    const capped = await harness.connected(4, { keepalive: 60_000 });
    for (let tick = 0; tick < 1000; tick++) harness.acceptor.advance();
    expect([forever.connection.isOpen, capped.connection.isOpen]).toEqual([true, false]);
  });

  it.each(levels)("of level %i is watched by the shared wheel alone", async (level) => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval"] });
    try {
      const client = await harness.connected(level, { keepalive: 1 });
      vi.advanceTimersByTime(60_000);
      await client.settle();
      expect(client.connection.isOpen).toBe(true);
      expect(vi.getTimerCount()).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });

  it("longer than one turn of the wheel is kept to the tick", async () => {
    const client = await harness.connected(4, { keepalive: 480 });
    for (let tick = 0; tick < 2880; tick++) harness.acceptor.advance();
    expect(client.connection.isOpen).toBe(true);
    for (let tick = 0; tick < 2; tick++) harness.acceptor.advance();
    expect(client.connection.isOpen).toBe(false);
  });
});

describe("DISCONNECT", () => {
  it.each(levels)("of level %i says goodbye: no will, no answer", async (level) => {
    const client = await harness.connected(level);
    client.send({ cmd: "disconnect" });
    expect(await client.settle()).toEqual([]);
    expect(client.socket.ended).toBe(true);
    expect(harness.recorded.closed).toEqual([{ goodbye: true, reason: "client disconnected", reasonCode: 0, will: "discard", undelivered: [], openReceiveIds: [] }]);
  });

  it("of MQTT 5 with 0x04 keeps the will, and may change the session expiry", async () => {
    const client = await harness.connected(5, { properties: { sessionExpiryInterval: 5 } });
    client.send({ cmd: "disconnect", reasonCode: 4, properties: { sessionExpiryInterval: 77 } } as any);
    await client.settle();
    expect(harness.recorded.closed).toMatchObject([{ goodbye: true, reasonCode: 4, will: "publish", sessionExpirySeconds: 77 }]);
  });

  it.each<[string, Level, string, string]>([
    ["raises the session expiry from 0", 5, "e007 00 05 1100000001", "82"],
    ["has a server's reason code", 5, "e001 8e", "81"],
    ["has flags", 5, "e100", "81"],
    ["has bytes behind its end", 5, "e003 00 00 00", "81"],
    ["has a body", 4, "e001 00", ""],
  ])("that %s (level %i) is refused", async (_what, level, bytes, code) => {
    const client = await harness.connected(level);
    client.hex(bytes);
    expect((await client.settleBytes()).toString("hex")).toBe(code === "" ? "" : `e001${code}`);
    expect(harness.recorded.closed).toMatchObject([{ goodbye: false, will: "publish" }]);
  });

  it.each(levels)("of level %i: what came behind it is ignored", async (level) => {
    const client = await harness.connected(level);
    client.send({ cmd: "disconnect" }, { cmd: "publish", topic: "t", payload: "", qos: 0, dup: false, retain: false });
    await client.settle();
    expect(harness.recorded.publishes).toHaveLength(0);
  });
});

describe("AUTH of MQTT 5", () => {
  it("goes back and forth before CONNACK, and again when the connection is open", async () => {
    const seen: unknown[] = [];
    harness.behaviour.connect = (connection) => connection.sendAuth({ reasonCode: 0x18, method: "m", data: Buffer.from("1") });
    harness.behaviour.auth = (connection, info) => {
      seen.push([info.reasonCode, info.data?.toString()]);
      if (connection.isOpen) connection.sendAuth({ reasonCode: 0, method: "m", data: null });
      else connection.acceptConnect({ sessionPresent: false, authMethod: "m" });
    };
    const client = harness.open();
    client.level = 5;
    client.send({ cmd: "connect", protocolId: "MQTT", protocolVersion: 5, clientId: "c", clean: true, keepalive: 0, properties: { authenticationMethod: "m" } });
    expect(await client.packet("auth")).toMatchObject({ reasonCode: 0x18, properties: { authenticationMethod: "m" } });
    client.send({ cmd: "auth", reasonCode: 0x18, properties: { authenticationMethod: "m", authenticationData: Buffer.from("2") } });
    expect(await client.packet("connack")).toMatchObject({ reasonCode: 0, properties: { authenticationMethod: "m" } });
    client.send({ cmd: "auth", reasonCode: 0x19, properties: { authenticationMethod: "m" } });
    expect(await client.packet("auth")).toMatchObject({ reasonCode: 0 });
    expect(seen).toEqual([[0x18, "2"], [0x19, undefined]]);
  });

  it("is a protocol error without a method, with another one, and where the handler has none", async () => {
    const auth = { cmd: "auth", reasonCode: 0x19, properties: { authenticationMethod: "m" } } as const;
    const without = await harness.connected(5, { properties: { authenticationMethod: "m" } });
    without.send(auth);
    expect((await without.settleBytes()).toString("hex")).toBe("e00182");
    harness.behaviour.auth = () => {};
    const noMethod = await harness.connected(5);
    noMethod.send(auth);
    expect((await noMethod.settleBytes()).toString("hex")).toBe("e00182");
    const other = await harness.connected(5, { properties: { authenticationMethod: "n" } });
    other.send(auth);
    expect((await other.settleBytes()).toString("hex")).toBe("e00182");
  });

  it("asked for before CONNACK lets no other packet through", async () => {
    harness.behaviour.connect = (connection) => connection.sendAuth({ reasonCode: 0x18, method: "m", data: null });
    harness.behaviour.auth = () => {};
    const client = harness.open();
    client.level = 5;
    client.send({ cmd: "connect", protocolId: "MQTT", protocolVersion: 5, clientId: "c", clean: true, keepalive: 0, properties: { authenticationMethod: "m" } });
    await client.packet("auth");
    client.send({ cmd: "publish", topic: "t", payload: "", qos: 0, dup: false, retain: false });
    expect((await client.packet("connack")).reasonCode).toBe(0x82);
    expect(harness.recorded.publishes).toHaveLength(0);
  });
});

describe("a client that breaks the protocol", () => {
  it.each<[string, string, string]>([
    ["a second CONNECT", "100d 00044d515454 05 02 0000 000163", "82"],
    ["CONNACK", "2003000000", "82"],
    ["SUBACK", "900400010000", "82"],
    ["UNSUBACK", "b00400010000", "82"],
    ["PINGRESP", "d000", "82"],
    ["packet type 0", "0000", "82"],
    ["PUBACK with flags", "41020001", "81"],
    ["PUBACK with packet id 0", "40020000", "82"],
    ["PUBACK cut off", "400100", "81"],
    ["PUBACK with an unknown reason code", "4003000101", "81"],
    ["PUBACK with bytes behind its end", "4005 0001 00 00 00", "81"],
    ["PUBREL with flags 0", "60020001", "81"],
    ["a remaining length of five bytes", "30ffffffff01", "81"],
    ["a packet above the maximum", "30ffffff7f", "95"],
  ])("with %s is closed with the right reason code, others stay", async (_what, bytes, code) => {
    const [bad, good] = [await harness.connected(5), await harness.connected(5)];
    bad.hex(bytes);
    expect((await bad.settleBytes()).toString("hex")).toBe(`e001${code}`);
    expect(bad.socket.ended).toBe(true);
    expect(harness.recorded.closed).toHaveLength(1);
    expect(Object.entries(harness.recorded.counts).filter(([name]) => name.startsWith("malformed"))).toHaveLength(1);
    good.hex("c000");
    expect((await good.settleBytes()).toString("hex")).toBe("d000");
  });

  it.each<[string, string]>([
    ["a second CONNECT", "100d 00044d515454 04 02 0000 000163"],
    ["AUTH", "f000"],
    ["PUBLISH without a topic", "30020000"],
    ["PUBLISH of QoS 3", "3605 0001 74 0001"],
    ["PUBACK of MQTT 5", "4003000100"],
    ["a packet above the maximum", "30ffffff7f"],
  ])("of 3.1.1 with %s is closed without a word", async (_what, bytes) => {
    const client = await harness.connected(4);
    client.hex(bytes);
    expect(await client.settleBytes()).toHaveLength(0);
    expect(client.socket.ended).toBe(true);
  });

  it.each<[string, string, string]>([
    ["PUBLISH first", "300400017461", "not-connect"],
    ["an HTTP request", Buffer.from("GET / HTTP/1.1\r\n").toString("hex"), "not-connect"],
    ["256 MB declared before CONNECT", "10ffffff7f", "too-large"],
    ["five length bytes before CONNECT", "10ffffffff01", "malformed-length"],
  ])("with %s is cut off at once", async (_what, bytes, reason) => {
    const client = harness.open();
    client.hex(bytes);
    expect(client.socket.destroyed).toBe(true);
    expect(client.socket.take()).toHaveLength(0);
    expect(harness.recorded.counts[`malformed ${reason}`]).toBe(1);
    expect(harness.recorded.closed).toMatchObject([{ reason }]);
  });
});
