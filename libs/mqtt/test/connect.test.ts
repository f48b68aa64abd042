import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { refusalOf, closeReasonOf } from "../src/index.ts";
import { connectPacket, levels, startHarness, type Harness } from "./raw-client.ts";

let harness: Harness;
beforeEach(async () => {
  harness = await startHarness();
});
afterEach(() => harness.stop());

describe("CONNECT", () => {
  it.each(levels)("of level %i is handed on with everything it says, and accepted", async (level) => {
    const will = { topic: "w/t", payload: Buffer.from("gone"), qos: 1 as const, retain: true };
    const client = await harness.connected(level, { clientId: "GID_a@@@1", keepalive: 30, clean: false, username: "ü", password: Buffer.from([0, 255]), will });
    expect(harness.recorded.connects[0]).toMatchObject({
      level,
      clientId: "GID_a@@@1",
      cleanStart: false,
      keepAliveSeconds: 30,
      userName: "ü",
      password: Buffer.from([0, 255]),
      will: { topic: "w/t", payload: Buffer.from("gone"), qos: 1, retain: true, delaySeconds: 0 },
      sessionExpirySeconds: level === 5 ? 0 : 0xffff_ffff,
    });
    expect(client.connection.isOpen).toBe(true);
    expect(client.connection.keepAliveSeconds).toBe(30);
    expect(client.socket.ended).toBe(false);
  });

  it("without user, will and persistence is handed on as such", async () => {
    await harness.connected(4);
    expect(harness.recorded.connects[0]).toMatchObject({ userName: null, password: null, will: null, sessionExpirySeconds: 0, cleanStart: true });
  });

  it.each([4, 5] as const)("of level %i is answered with session present when it is", async (level) => {
    harness.behaviour.connect = (connection) => connection.acceptConnect({ sessionPresent: true });
    const client = harness.open();
    client.level = level;
    client.send(connectPacket(level, { clean: false }));
    expect(await client.packet("connack")).toMatchObject({ sessionPresent: true });
    // a later one of another client is not mixed up with it
    harness.behaviour.connect = (connection) => connection.acceptConnect({ sessionPresent: false });
    const other = harness.open();
    other.level = level;
    other.send(connectPacket(level, { clean: false, clientId: "c2" }));
    expect(await other.packet("connack")).toMatchObject({ sessionPresent: false });
  });

  it("of 3.1 never gets session present, which it does not know", async () => {
    harness.behaviour.connect = (connection) => connection.acceptConnect({ sessionPresent: true });
    const client = harness.open();
    client.send(connectPacket(3, { clean: false }));
    expect(await client.settleBytes()).toEqual(Buffer.from("20020000", "hex"));
  });

  it("of MQTT 5 is answered with what the server and the handler say", async () => {
    harness.behaviour.connect = (connection) =>
      connection.acceptConnect({
        sessionPresent: false,
        assignedClientId: "made-up",
        serverKeepAliveSeconds: 60,
        sessionExpirySeconds: 10,
        retainAvailable: false,
        sharedSubscriptionAvailable: false,
        userProperties: [["a", "1"], ["a", "2"]],
      });
    const client = harness.open();
    client.level = 5;
    client.send(connectPacket(5, { clientId: "", keepalive: 1000, properties: { sessionExpiryInterval: 99 } }));
    const connack = await client.packet("connack");
    expect(connack).toMatchObject({
      reasonCode: 0,
      properties: {
        assignedClientIdentifier: "made-up",
        serverKeepAlive: 60,
        sessionExpiryInterval: 10,
        retainAvailable: false,
        sharedSubscriptionAvailable: false,
        receiveMaximum: 256,
        maximumPacketSize: 131_072,
        topicAliasMaximum: 16,
        userProperties: { a: ["1", "2"] },
      },
    });
    expect(client.connection.keepAliveSeconds).toBe(60);
  });

  it("of MQTT 5 carries its properties in order", async () => {
    const client = harness.open();
    client.level = 5;
    // session expiry 5, receive maximum 7, max packet 1000, alias max 3, user properties b=1, a=2, b=3
    const properties = "1100000005 210007 27000003e8 220003 26000162000131 26000161000132 26000162000133".replaceAll(" ", "");
    const body = `00044d515454 05 02 0000 ${(properties.length / 2).toString(16)} ${properties} 0001 63`;
    client.hex(`10${(body.replaceAll(" ", "").length / 2).toString(16)}`, body);
    await client.packet("connack");
    expect(harness.recorded.connects[0]).toMatchObject({
      sessionExpirySeconds: 5,
      receiveMaximum: 7,
      maximumPacketBytes: 1000,
      topicAliasMaximum: 3,
      userProperties: [["b", "1"], ["a", "2"], ["b", "3"]],
    });
  });

  it("of MQTT 5 hands on a will with delay and forwardable properties", async () => {
    await harness.connected(5, {
      will: { topic: "w", payload: Buffer.from("x"), qos: 2, retain: false, properties: { willDelayInterval: 9, contentType: "text", userProperties: { k: "v" } } },
    });
    const { will } = harness.recorded.connects[0]!;
    expect(will).toMatchObject({ delaySeconds: 9, qos: 2 });
    expect(will!.properties!.toString("hex")).toBe("03000474657874" + "2600016b000176");
  });

  it.each(levels)("of level %i refused for wrong credentials gets the code of its version, and the connection is closed", async (level) => {
    harness.behaviour.connect = (connection) => connection.refuseConnect(refusalOf("HAWSER_E_BAD_CREDENTIALS"));
    const client = harness.open();
    client.level = level;
    client.send(connectPacket(level, { username: "u", password: Buffer.from("p") }));
    const connack = await client.packet("connack");
    expect(level === 5 ? connack.reasonCode : connack.returnCode).toBe(level === 5 ? 0x86 : 4);
    expect(client.socket.ended).toBe(true);
    expect(harness.recorded.counts["refused user name or password is wrong"]).toBe(1);
    expect(harness.recorded.closed).toHaveLength(1);
    expect(harness.recorded.closed[0]).toMatchObject({ goodbye: false, reason: "user name or password is wrong", reasonCode: 0x86 });
  });

  it.each([1, 2, 3, 4, 5])("of 3.1.1 can be refused with return code %i", async (returnCode) => {
    harness.behaviour.connect = (connection) => connection.refuseConnect({ reasonCode: 0x80, returnCode, reason: "no" });
    const client = harness.open();
    client.send(connectPacket(4));
    expect(await client.settleBytes()).toEqual(Buffer.from([0x20, 2, 0, returnCode]));
    expect(client.socket.ended).toBe(true);
  });

  it("of MQTT 5 refused with a reason string says it", async () => {
    harness.behaviour.connect = (connection) => connection.refuseConnect({ reasonCode: 0x9c, returnCode: 3, reason: "moved", reasonString: "go there", serverReference: "there:1883" });
    const client = harness.open();
    client.level = 5;
    client.send(connectPacket(5));
    expect(await client.packet("connack")).toMatchObject({ reasonCode: 0x9c, properties: { reasonString: "go there", serverReference: "there:1883" } });
  });

  it("answered later is open later, and what the client sent behind it is held until then", async () => {
    let accept = (): void => {};
    harness.behaviour.connect = (connection) => {
      accept = () => connection.acceptConnect({ sessionPresent: false });
    };
    for (const level of levels) {
      harness.recorded.publishes.length = 0;
      const client = harness.open();
      client.level = level;
      client.send(
        connectPacket(level),
        { cmd: "subscribe", messageId: 7, subscriptions: [{ topic: "a/b", qos: 1 }] },
        { cmd: "publish", topic: "t", payload: "1", qos: 1, messageId: 8, dup: false, retain: false },
        ...Array.from({ length: 100 }, (_, i) => ({ cmd: "publish", topic: `q/${i}`, payload: "", qos: 0, dup: false, retain: false }) as const),
      );
      expect(await client.settle()).toEqual([]);
      expect(client.socket.paused).toBe(true);
      expect(harness.recorded.publishes).toHaveLength(0);
      accept();
      const packets = await client.settle();
      expect(packets.map((packet) => packet.cmd)[0]).toBe("connack");
      expect(packets.map((packet) => packet.cmd).sort()).toEqual(["connack", "puback", "suback"]);
      expect(harness.recorded.publishes.map(({ packet }) => packet.topic)).toEqual(["t", ...Array.from({ length: 100 }, (_, i) => `q/${i}`)]);
      expect(client.socket.paused).toBe(false);
    }
  });

  it("of 3.1.1 with an empty Client ID and a persistent session is refused with 2, with a clean one handed on", async () => {
    const client = harness.open();
    client.send(Buffer.from("100c00044d5154540400001e0000", "hex"));
    expect(await client.settleBytes()).toEqual(Buffer.from("20020002", "hex"));
    expect(harness.recorded.connects).toHaveLength(0);
    const clean = harness.open();
    clean.send(Buffer.from("100c00044d5154540402001e0000", "hex"));
    expect(await clean.settleBytes()).toEqual(Buffer.from("20020000", "hex"));
    expect(harness.recorded.connects[0]!.clientId).toBe("");
  });

  it("of 3.1 may announce a user name that is not there", async () => {
    const client = harness.open();
    client.hex("1011 00064d514973647003 c3 001e 0003616263");
    expect(await client.settleBytes()).toEqual(Buffer.from("20020000", "hex"));
    expect(harness.recorded.connects[0]).toMatchObject({ level: 3, clientId: "abc", userName: null, password: null });
    const half = harness.open();
    half.hex("1015 00064d514973647003 c2 001e 0003616263 00027575");
    expect(await half.settleBytes()).toEqual(Buffer.from("20020000", "hex"));
    expect(harness.recorded.connects[1]).toMatchObject({ userName: "uu", password: null });
  });

  it.each([
    ["MQTT level 6", "100c 00044d515454 06 02 0000 0000", "2003008400"],
    ["MQTT level 3", "100c 00044d515454 03 02 0000 0000", "20020001"],
    ["MQTT level 0", "100c 00044d515454 00 02 0000 0000", "20020001"],
    ["MQIsdp level 4", "100e 00064d5149736470 04 02 0000 0000", "20020001"],
    ["bridge level 0x84", "100c 00044d515454 84 02 0000 0000", "20020001"],
    ["another protocol", "100c 00044d515458 04 02 0000 0000", ""],
  ])("of %s is refused in the form its sender understands", async (_what, bytes, answer) => {
    const client = harness.open();
    client.hex(bytes);
    expect((await client.settleBytes()).toString("hex")).toBe(answer);
    expect(client.socket.ended).toBe(true);
    expect(harness.recorded.closed).toHaveLength(1);
    expect(harness.recorded.connects).toHaveLength(0);
  });

  it.each([
    ["cut off in the flags", "1007 00044d515454 04"],
    ["reserved flag", "100d 00044d515454 04 03 0000 000163"],
    ["will QoS 3", "1013 00044d515454 04 1e 0000 000163 000177 000170"],
    ["will QoS without will", "100d 00044d515454 04 0a 0000 000163"],
    ["will retain without will", "100d 00044d515454 04 22 0000 000163"],
    ["password without user name", "1010 00044d515454 04 42 0000 000163 000170"],
    ["Client ID longer than the packet", "100d 00044d515454 04 02 0000 000263"],
    ["Client ID that is not UTF-8", "100d 00044d515454 04 02 0000 0001ff"],
    ["Client ID with U+0000", "100d 00044d515454 04 02 0000 000100"],
    ["user name with a surrogate", "1012 00044d515454 04 82 0000 000163 0003eda080"],
    ["empty will topic", "1012 00044d515454 04 06 0000 000163 0000 000170"],
    ["will topic with a wildcard", "1015 00044d515454 04 06 0000 000163 0003612f23 000170"],
    ["bytes behind its end", "100e 00044d515454 04 02 0000 000163 00"],
    ["flags in the fixed header", "110d 00044d515454 04 02 0000 000163"],
  ])("of 3.1.1 that is malformed (%s) closes the connection without an answer", async (_what, bytes) => {
    const client = harness.open();
    client.hex(bytes);
    expect(await client.settleBytes()).toEqual(Buffer.alloc(0));
    expect(client.socket.ended).toBe(true);
    expect(harness.recorded.connects).toHaveLength(0);
    expect(Object.keys(harness.recorded.counts).some((name) => name.startsWith("malformed"))).toBe(true);
  });

  it.each([
    ["receive maximum 0", "21 0000", 0x82],
    ["receive maximum twice", "210001 210001", 0x82],
    ["maximum packet size 0", "2700000000", 0x82],
    ["request problem information 2", "1702", 0x82],
    ["unknown property", "7f01", 0x81],
    ["property of another packet", "230001", 0x81],
    ["property cut off", "2100", 0x81],
    ["text that is not UTF-8", "26 0001ff 000161", 0x81],
    ["response topic", "08000161", 0x81],
    ["authentication data without a method", "16000161", 0x82],
  ])("of MQTT 5 with a bad property (%s) is answered with its reason code", async (_what, properties, reasonCode) => {
    const client = harness.open();
    client.level = 5;
    const block = properties.replaceAll(" ", "");
    const body = `00044d515454 05 02 0000 ${(block.length / 2).toString(16).padStart(2, "0")} ${block} 000163`.replaceAll(" ", "");
    client.hex(`10${(body.length / 2).toString(16)}`, body);
    expect(await client.packet("connack")).toMatchObject({ reasonCode });
    expect(client.socket.ended).toBe(true);
    expect(harness.recorded.connects).toHaveLength(0);
  });

  it("of MQTT 5 with a wildcard in the will topic is told that the topic name is not valid", async () => {
    const client = harness.open();
    client.level = 5;
    client.send(connectPacket(5, { will: { topic: "a/+", payload: Buffer.from("x"), qos: 0, retain: false } }));
    expect(await client.packet("connack")).toMatchObject({ reasonCode: 0x90 });
    expect(harness.recorded.connects).toHaveLength(0);
  });

  it("of MQTT 5 with a remaining length that is not in its shortest form is malformed", async () => {
    const client = harness.open();
    client.level = 5;
    client.hex("108e00 00044d515454 05 02 0000 00 000163");
    expect(await client.packet("connack")).toMatchObject({ reasonCode: 0x81 });
  });

  it("of MQTT 5 gets a CONNACK that fits its Maximum Packet Size, or none", async () => {
    const userProperties = [["k", "v".repeat(100)]] as const;
    harness.behaviour.connect = (connection) => connection.acceptConnect({ sessionPresent: false, userProperties });
    for (const [maximumPacketSize, expected] of [[1000, "v".repeat(100)], [50, undefined]] as const) {
      const client = harness.open();
      client.level = 5;
      client.send(connectPacket(5, { properties: { maximumPacketSize } }));
      expect((await client.packet("connack")).properties.userProperties?.k).toBe(expected);
    }
    const tiny = harness.open();
    tiny.level = 5;
    tiny.send(connectPacket(5, { properties: { maximumPacketSize: 4 } }));
    expect(await tiny.settleBytes()).toHaveLength(0);
    expect(tiny.socket.ended).toBe(true);
  });

  it("of MQTT 5 may have a password without a user name", async () => {
    const client = harness.open();
    client.level = 5;
    client.hex("1011 00044d515454 05 42 0000 00 000163 000170", "");
    expect(await client.packet("connack")).toMatchObject({ reasonCode: 0 });
    expect(harness.recorded.connects[0]).toMatchObject({ userName: null, password: Buffer.from("p") });
  });

  it("that does not come in time closes the connection, and nobody else", async () => {
    const other = await harness.connected(4);
    const silent = harness.open();
    const dripping = harness.open();
    for (let tick = 0; tick < 25; tick++) {
      dripping.connection.receive(Buffer.from([tick === 0 ? 0x10 : 0x80]).subarray(0, tick < 2 ? 1 : 0));
      harness.acceptor.advance();
    }
    expect(silent.socket.destroyed).toBe(true);
    expect(dripping.socket.destroyed).toBe(true);
    expect(other.connection.isOpen).toBe(true);
    expect(harness.recorded.closed.map((why) => why.reason)).toEqual(["connect timeout", "connect timeout"]);
  });
});

describe("a connection", () => {
  it.each(levels)("of level %i whose CONNECT is answered twice keeps the first answer", async (level) => {
    harness.behaviour.connect = (connection) => {
      connection.acceptConnect({ sessionPresent: false });
      connection.refuseConnect(refusalOf("HAWSER_E_QUOTA"));
      connection.acceptConnect({ sessionPresent: true });
    };
    const client = await harness.connected(level);
    expect(client.connection.isOpen).toBe(true);
  });

  it.each(levels)("of level %i closed by the server is told why where the version can", async (level) => {
    const client = await harness.connected(level);
    client.connection.close(closeReasonOf("HAWSER_E_TAKEN_OVER"));
    expect((await client.settleBytes()).toString("hex")).toBe(level === 5 ? "e0018e" : "");
    expect(client.socket.ended).toBe(true);
    expect(harness.recorded.closed).toEqual([{ goodbye: false, reason: "clientId conflict", reasonCode: 0x8e, will: "publish", undelivered: [], openReceiveIds: [] }]);
    client.connection.close(closeReasonOf("HAWSER_E_TAKEN_OVER"));
    client.connection.socketClosed("socket closed");
    expect(harness.recorded.closed).toHaveLength(1);
    expect(harness.acceptor.connections.size).toBe(0);
  });

  it.each(levels)("of level %i closed while its CONNECT waits never sends a DISCONNECT", async (level) => {
    harness.behaviour.connect = () => {};
    const client = harness.open();
    client.level = level;
    client.send(connectPacket(level));
    await client.settle();
    client.connection.close(closeReasonOf("HAWSER_E_SHUTTING_DOWN"));
    const bytes = await client.settleBytes();
    if (level === 5) expect(bytes.subarray(0, 1).toString("hex") + bytes.subarray(2, 4).toString("hex")).toBe("20008b");
    else expect(bytes).toHaveLength(0);
    expect(harness.recorded.closed).toHaveLength(1);
  });

  it.each(levels)("of level %i whose peer does not close after the end is destroyed after the linger time", async (level) => {
    const client = await harness.connected(level);
    client.connection.close(closeReasonOf("HAWSER_E_TAKEN_OVER"));
    expect(client.socket.destroyed).toBe(false);
    for (let tick = 0; tick < 10; tick++) harness.acceptor.advance();
    expect(client.socket.destroyed).toBe(true);
  });

  it("whose socket goes away while CONNECT waits is reported once, and a late answer does nothing", async () => {
    for (const level of levels) {
      harness.behaviour.connect = () => {};
      const client = harness.open();
      client.level = level;
      client.send(connectPacket(level));
      await client.settle();
      client.connection.socketClosed("socket closed");
      client.connection.acceptConnect({ sessionPresent: false });
      await client.settle();
      expect(client.connection.isClosed).toBe(true);
    }
    expect(harness.recorded.closed).toHaveLength(3);
    expect(harness.recorded.connects).toHaveLength(3);
  });

  it("that is closed while it is not read is read to its end", async () => {
    const client = await harness.connected(4);
    client.connection.pauseReading();
    client.connection.close(closeReasonOf("HAWSER_E_TAKEN_OVER"));
    expect(client.socket.paused).toBe(false);
    client.hex("c000");
    expect(await client.settle()).toEqual([]);
  });

  it("takes over nothing: two connections with one Client ID live beside each other here", async () => {
    const first = await harness.connected(4, { clientId: "same" });
    const second = await harness.connected(4, { clientId: "same" });
    await first.settle();
    expect(first.connection.isOpen && second.connection.isOpen).toBe(true);
  });
});
