import { createServer } from "node:net";
import { once } from "node:events";
import mqttPacket from "mqtt-packet";
import { describe, expect, it } from "vitest";
import { mqttPackets, rawClient } from "../src/index.ts";

/** What mqtt-packet, another hand's work, reads of the bytes. */
function read(bytes: Buffer, protocolVersion: 4 | 5): Record<string, unknown> {
  const parser = mqttPacket.parser({ protocolVersion });
  const seen: Record<string, unknown>[] = [];
  const errors: Error[] = [];
  parser.on("packet", (packet) => seen.push(packet as unknown as Record<string, unknown>));
  parser.on("error", (error) => errors.push(error));
  parser.parse(bytes);
  expect(errors).toEqual([]);
  expect(seen).toHaveLength(1);
  return seen[0]!;
}

describe("packets as bytes", () => {
  it("writes CONNECT with everything in it", () => {
    const packet = read(
      mqttPackets(5).connect({
        clientId: "GID_demo@@@1",
        clean: false,
        keepAliveSeconds: 7,
        username: "user",
        password: "secret",
        will: { topic: "demo/will", payload: "gone", qos: 1, retain: true, properties: { willDelayInterval: 3 } },
        properties: { sessionExpiryInterval: 60, receiveMaximum: 5, userProperty: [["a", "1"]] },
      }),
      5,
    );
    expect(packet).toMatchObject({ cmd: "connect", clientId: "GID_demo@@@1", clean: false, keepalive: 7, username: "user", properties: { sessionExpiryInterval: 60, receiveMaximum: 5 } });
    expect(packet["will"]).toMatchObject({ topic: "demo/will", qos: 1, retain: true, properties: { willDelayInterval: 3 } });
  });

  it("writes PUBLISH, SUBSCRIBE, UNSUBSCRIBE and DISCONNECT of both levels", () => {
    expect(read(mqttPackets(4).publish({ topic: "a/b", payload: "x", qos: 1, packetId: 9, dup: true }), 4)).toMatchObject({ topic: "a/b", qos: 1, messageId: 9, dup: true });
    expect(read(mqttPackets(5).publish({ topic: "a", properties: { topicAlias: 3, userProperty: [["k", "v"]] } }), 5)).toMatchObject({ properties: { topicAlias: 3, userProperties: { k: "v" } } });
    expect(read(mqttPackets(4).subscribe(2, [{ filter: "a/#", qos: 1 }, "b"]), 4)).toMatchObject({ messageId: 2, subscriptions: [{ topic: "a/#", qos: 1 }, { topic: "b", qos: 0 }] });
    expect(read(mqttPackets(5).subscribe(2, [{ filter: "a", qos: 2, noLocal: true, retainHandling: 2 }], { subscriptionIdentifier: 200 }), 5)).toMatchObject({ subscriptions: [{ nl: true, rh: 2, qos: 2 }], properties: { subscriptionIdentifier: 200 } });
    expect(read(mqttPackets(5).unsubscribe(4, ["a", "b"]), 5)).toMatchObject({ messageId: 4, unsubscriptions: ["a", "b"] });
    expect(read(mqttPackets(5).disconnect(0x04), 5)).toMatchObject({ cmd: "disconnect", reasonCode: 4 });
    expect(read(mqttPackets(5).pubrel(4, 0x92), 5)).toMatchObject({ cmd: "pubrel", messageId: 4, reasonCode: 0x92 });
  });

  it("reads what mqtt-packet writes", () => {
    const write = (packet: object, protocolVersion: 4 | 5): Buffer => mqttPacket.generate(packet as never, { protocolVersion });
    expect(mqttPackets(4).parse(write({ cmd: "connack", returnCode: 5, sessionPresent: false }, 4))?.packet).toEqual({ type: "connack", sessionPresent: false, reasonCode: 5 });
    expect(mqttPackets(5).parse(write({ cmd: "connack", reasonCode: 0x87, sessionPresent: false, properties: { reasonString: "no" } }, 5))?.packet).toMatchObject({ reasonCode: 0x87, properties: { reasonString: "no" } });
    expect(mqttPackets(4).parse(write({ cmd: "suback", messageId: 3, granted: [0, 1, 128] }, 4))?.packet).toEqual({ type: "suback", packetId: 3, reasonCodes: [0, 1, 128] });
    expect(mqttPackets(5).parse(write({ cmd: "publish", topic: "t", payload: "p", qos: 2, messageId: 6, properties: { userProperties: { a: ["1", "2"] } } }, 5))?.packet).toMatchObject({
      type: "publish",
      topic: "t",
      qos: 2,
      packetId: 6,
      payload: Buffer.from("p"),
      properties: { userProperty: [["a", "1"], ["a", "2"]] },
    });
    const half = write({ cmd: "publish", topic: "t", payload: "p".repeat(300), qos: 0 }, 4);
    expect(mqttPackets(4).parse(half.subarray(0, 1))).toBeNull();
    expect(mqttPackets(4).parse(half.subarray(0, half.length - 1))).toBeNull();
    expect(mqttPackets(4).parse(half)?.length).toBe(half.length);
  });
});

describe("rawClient", () => {
  it("gives the server's packets one by one, however they are cut, and tells when it closes", async () => {
    const connack = Buffer.of(0x20, 2, 0, 0);
    const server = createServer((socket) => {
      socket.once("data", (data) => {
        expect([...data]).toEqual([0xc0, 0]);
        socket.write(Buffer.concat([connack, Buffer.of(0xd0)]));
        setImmediate(() => socket.end(Buffer.of(0)));
      });
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const client = await rawClient((server.address() as { port: number }).port);
    client.send(mqttPackets(4).pingreq());
    expect(await client.next()).toEqual({ type: "connack", sessionPresent: false, reasonCode: 0 });
    expect(await client.next()).toEqual({ type: "pingresp" });
    await expect(client.next()).rejects.toThrow("the connection is closed");
    await client.closed;
    server.close();
  });
});
