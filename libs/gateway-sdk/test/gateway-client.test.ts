/** The whole client against a real MQTT broker (aedes), which plays the platform. */
import { mkdtemp, rm } from "node:fs/promises";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Aedes, type AedesPublishPacket, type Client } from "aedes";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { defineMethod, type DownlinkMessage, encodeMessage, newUuidV7, parseUplink, type UplinkMessage, uuidBytes } from "@hawser/csg-protocol";
import { CommandFailed, GatewayClient, handler } from "@hawser/gateway-sdk";
import { uplinkPublish } from "../src/uplink-publish.ts";

const CLIENT_ID = "GID_gateway@@@gw-1";
const count = defineMethod({ name: "count", lane: "query", idempotent: true, params: z.strictObject({ to: z.number() }) });
const busy = defineMethod({ name: "busy", lane: "task", idempotent: false, params: z.strictObject({}) });

let broker: Aedes;
let server: Server;
let directory: string;
let client: GatewayClient;
let device: Client | null;
const sockets = new Set<Socket>();
const ups: { topic: string; message: UplinkMessage }[] = [];

beforeEach(async () => {
  broker = await Aedes.createBroker();
  server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    broker.handle(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  directory = await mkdtemp(join(tmpdir(), "hawser-client-"));
  ups.length = 0;
  device = null;
  broker.on("clientReady", (ready) => (device = ready));
  broker.on("publish", (packet: AedesPublishPacket, from: Client | null) => {
    if (!from) return;
    const parsed = parseUplink(packet.payload as Buffer);
    if (!parsed.ok) throw new Error(parsed.problem);
    ups.push({ topic: packet.topic, message: parsed.value });
    if (parsed.value.k === "hello") down({ v: 1, k: "welcome", serverTime: Date.now(), resend: [], ack: [], desired: {} });
  });
  client = new GatewayClient({
    url: `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`,
    clientId: CLIENT_ID,
    userName: "u",
    password: "p",
    dataDir: directory,
    agent: { name: "test", version: "1" },
    methods: [
      handler(count, async ({ to }) => ({ counted: to })),
      handler(busy, async () => {
        throw new CommandFailed("FAILED_PRECONDITION", "SHARE_BUSY", "somebody else is at it");
      }),
    ],
  });
  await client.start();
});

afterEach(async () => {
  await client.stop();
  for (const socket of sockets) socket.destroy();
  await new Promise<void>((resolve) => broker.close(() => resolve()));
  await new Promise<void>((resolve) => (server.listening ? server.close(() => resolve()) : resolve()));
  await rm(directory, { recursive: true, force: true });
});

function down(message: DownlinkMessage): void {
  device!.publish({ cmd: "publish", topic: `csgDown/p2p/${CLIENT_ID}`, payload: encodeMessage(message), qos: 1, retain: false, dup: false } as never, () => undefined);
}

const answers = (id: string, kind: string): UplinkMessage[] => ups.map((up) => up.message).filter((message) => message.k === kind && "id" in message && message.id === id);

describe("a gateway client", () => {
  it("says hello, is welcomed, runs a command and answers on its own topics", async () => {
    await vi.waitUntil(() => client.ready);
    expect(ups[0]).toMatchObject({ topic: "csgUp/gw-1/h", message: { k: "hello", proto: [1], methods: { count: count.schemaHash, busy: busy.schemaHash } } });
    const id = newUuidV7();
    down({ v: 1, k: "req", id, method: "count", params: { to: 3 }, reply: "final", ttl: 5_000, att: 1, lane: "query", seq: 1 });
    await vi.waitUntil(() => answers(id, "res").length > 0);
    expect(answers(id, "acc")).toHaveLength(1);
    expect(answers(id, "res")).toMatchObject([{ result: { counted: 3 } }]);
    expect(ups.find((up) => up.message.k === "res")!.topic).toBe("csgUp/gw-1/r");
  });

  it("a handler's own error travels with its code and reason", async () => {
    await vi.waitUntil(() => client.ready);
    const id = newUuidV7();
    down({ v: 1, k: "req", id, method: "busy", params: {}, reply: "final", ttl: 5_000, att: 1, lane: "task", seq: 1 });
    await vi.waitUntil(() => answers(id, "res").length > 0);
    expect(answers(id, "res")).toMatchObject([{ error: { code: "FAILED_PRECONDITION", reason: "SHARE_BUSY" } }]);
  });

  it("comes back by itself when the connection breaks, and says hello again", async () => {
    await vi.waitUntil(() => client.ready);
    for (const socket of sockets) socket.destroy();
    await vi.waitUntil(() => ups.filter((up) => up.message.k === "hello").length === 2, { timeout: 5_000 });
    await vi.waitUntil(() => client.ready);
  });

  it("publishes nothing while there is no connection, and says so", async () => {
    await vi.waitUntil(() => client.ready);
    server.close();
    for (const socket of sockets) socket.destroy();
    await vi.waitUntil(() => !client.connected);
    expect(client.publish("csgStatus/gw-1", "{}")).toBe(false);
  });
});

describe("MQTT 5 properties", () => {
  it("repeat what the body says", () => {
    const id = newUuidV7();
    const error = { code: "NOT_FOUND", reason: "NEVER_SEEN", message: "no", retryable: false } as const;
    const { options } = uplinkPublish({ v: 1, k: "res", id, att: 1, error, traceparent: "00-1-2-01" }, 1, "csgUp", "gw-1", 5);
    expect(options.properties).toEqual({
      contentType: "application/json",
      payloadFormatIndicator: true,
      correlationData: uuidBytes(id),
      userProperties: { __protVer: "1.0", __stat: "404", __stMsg: "no", __apErr: "NEVER_SEEN", traceparent: "00-1-2-01" },
    });
    expect(uplinkPublish({ v: 1, k: "acc", id, att: 1 }, 1, "csgUp", "gw-1", 4).options).toEqual({ qos: 1 });
  });
});
