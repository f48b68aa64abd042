import mqtt, { type MqttClient } from "mqtt";
import { createServer, connect as dial, type AddressInfo, type Server, type Socket } from "node:net";
import { once } from "node:events";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { attachStream, MqttAcceptor, OutgoingPublish, TopicIndex, forwardableProperties, type ConnectionHandler, type MqttConnection } from "../src/index.ts";
import type { ClosedInfo, Qos } from "../src/types.ts";

/** The smallest server one can build on the library: everybody's messages to everybody who subscribed. */
class TinyServer {
  readonly index = new TopicIndex<MqttConnection, { qos: Qos }>();
  readonly closed: ClosedInfo[] = [];
  readonly filters = new Map<MqttConnection, Set<string>>();
  onClosed: () => void = () => {};
  readonly handler: ConnectionHandler = {
    connect: (connection) => {
      this.filters.set(connection, new Set());
      connection.acceptConnect({ sessionPresent: false });
    },
    publish: (connection, packet, slot) => {
      const publish = new OutgoingPublish({ topic: packet.topic, payload: Buffer.from(packet.payload), properties: forwardableProperties(packet.properties) });
      this.index.matchMerged(
        packet.topic,
        (a, b) => (a.qos >= b.qos ? a : b),
        (receiver, { qos }) => void receiver.deliver(publish, { qos: Math.min(qos, packet.qos) as Qos, retain: false }),
      );
      if (slot !== null) connection.completePublish(slot);
    },
    subscribe: (connection, { packetId, subscriptions }) => {
      for (const { filter, qos } of subscriptions) {
        this.index.add(filter, connection, { qos });
        this.filters.get(connection)!.add(filter);
      }
      connection.answerSubscribe(packetId, subscriptions.map((one) => one.qos));
    },
    unsubscribe: (connection, { packetId, filters }) => {
      connection.answerUnsubscribe(packetId, filters.map((filter) => (this.index.remove(filter, connection) === "absent" ? 0x11 : 0)));
    },
    delivered: () => {},
    closed: (connection, why) => {
      for (const filter of this.filters.get(connection) ?? []) this.index.remove(filter, connection);
      this.closed.push(why);
      this.onClosed();
    },
  };
}

let tiny: TinyServer;
let acceptor: MqttAcceptor;
let server: Server;
let port: number;
const clients: MqttClient[] = [];
const sockets: Socket[] = [];

beforeEach(async () => {
  tiny = new TinyServer();
  acceptor = await MqttAcceptor.create({ handler: tiny.handler, tickMs: 20, settings: { connectTimeoutMs: 200, lingerMs: 100, outboundQueueMessages: 5000 } });
  server = createServer({ noDelay: true }, (socket) => void attachStream(acceptor, socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  port = (server.address() as AddressInfo).port;
});

afterEach(async () => {
  for (const client of clients.splice(0)) client.end(true);
  for (const socket of sockets.splice(0)) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
  await acceptor.stop();
});

async function client(protocolVersion: 3 | 4 | 5, clientId: string): Promise<MqttClient> {
  const one = mqtt.connect({ host: "127.0.0.1", port, protocolVersion, protocolId: protocolVersion === 3 ? "MQIsdp" : "MQTT", clientId, reconnectPeriod: 0 });
  clients.push(one);
  await new Promise((resolve) => one.once("connect", resolve));
  return one;
}

async function raw(hex: string): Promise<Socket> {
  const socket = dial(port, "127.0.0.1");
  sockets.push(socket);
  await once(socket, "connect");
  socket.write(Buffer.from(hex.replaceAll(" ", ""), "hex"));
  return socket;
}

describe("over TCP", () => {
  it.each([3, 4, 5] as const)("MQTT.js of version %i subscribes, publishes at each QoS, receives, unsubscribes and leaves", async (version) => {
    const subscriber = await client(version, "sub");
    const publisher = await client(version === 5 ? 4 : 5, "pub");
    const received: string[] = [];
    subscriber.on("message", (topic, payload, packet) => received.push(`${topic} ${payload.toString()} ${packet.qos}`));
    const granted = await subscriber.subscribeAsync({ "room/+": { qos: 2 }, "news": { qos: 1 } });
    expect(granted.map((one) => one.qos)).toEqual([2, 1]);
    for (const qos of [0, 1, 2] as const) await publisher.publishAsync(`room/${qos}`, "x".repeat(qos * 5000), { qos });
    await publisher.publishAsync("news", "extra", { qos: 2 });
    await expect.poll(() => received.length).toBe(4);
    expect(received).toEqual(["room/0  0", `room/1 ${"x".repeat(5000)} 1`, `room/2 ${"x".repeat(10_000)} 2`, "news extra 1"]);
    await subscriber.unsubscribeAsync("room/+");
    await publisher.publishAsync("room/1", "", { qos: 1 });
    await publisher.publishAsync("news", "last", { qos: 1 });
    await expect.poll(() => received.at(-1)).toBe("news last 1");
    await subscriber.endAsync();
    await expect.poll(() => tiny.closed.length).toBe(1);
    expect(tiny.closed[0]).toMatchObject({ goodbye: true, will: "discard" });
  });

  it("thousands of QoS 1 messages in flight both ways arrive in order, none lost", async () => {
    const [subscriber, publisher] = [await client(5, "sub"), await client(4, "pub")];
    const received: number[] = [];
    subscriber.on("message", (_topic, payload) => received.push(Number(payload.toString())));
    await subscriber.subscribeAsync("n", { qos: 1 });
    await Promise.all(Array.from({ length: 3000 }, (_, i) => publisher.publishAsync("n", String(i), { qos: 1 })));
    await expect.poll(() => received.length, { timeout: 5000 }).toBe(3000);
    expect(received).toEqual(Array.from({ length: 3000 }, (_, i) => i));
  });

  it("a socket that says nothing, or drips its CONNECT, is cut at the connect timeout", async () => {
    const silent = await raw("");
    const dripping = await raw("10");
    const drip = setInterval(() => dripping.writable && dripping.write(Buffer.from([0x00])), 10);
    await Promise.all([once(silent, "close"), once(dripping.on("error", () => {}), "close")]);
    clearInterval(drip);
    expect(tiny.closed.length).toBe(2);
    expect(acceptor.connections.size).toBe(0);
  });

  it("a refused CONNECT reads its CONNACK and then the end", async () => {
    const socket = await raw("100c 00044d515454 06 02 0000 0000");
    const chunks: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    await once(socket, "close");
    expect(Buffer.concat(chunks).toString("hex")).toBe("2003008400");
  });

  it("a peer that goes away without DISCONNECT is noticed, its will due", async () => {
    for (const level of ["04", "05"]) {
      const socket = await raw(`10${level === "04" ? "0d" : "0e"} 00044d515454 ${level} 02 0000 ${level === "04" ? "" : "00"} 000163`);
      await once(socket, "data");
      socket.destroy();
    }
    await expect.poll(() => tiny.closed.length).toBe(2);
    for (const why of tiny.closed) expect(why).toMatchObject({ goodbye: false, will: "publish" });
  });

  it("a subscriber that does not read costs only itself", async () => {
    const slow = await raw("100d 00044d515454 04 02 0000 000173 8209 0001 0004 666c6f77 00");
    await once(slow, "data");
    slow.pause();
    const [fast, publisher] = [await client(4, "fast"), await client(4, "pub")];
    let got = 0;
    fast.on("message", () => got++);
    await fast.subscribeAsync("flow", { qos: 1 });
    for (let i = 0; i < 200; i++) await publisher.publishAsync("flow", Buffer.alloc(60_000), { qos: 1 });
    await expect.poll(() => got, { timeout: 5000 }).toBe(200);
    for (const connection of acceptor.connections) expect(connection.queued).toBe(0);
  });
});
