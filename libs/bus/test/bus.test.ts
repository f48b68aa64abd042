import { createServer, type AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startNatsServer, type NatsServer } from "@hawser/testkit";
import { Bus, BusError, parsePubAck, type AppendResult } from "../src/index.ts";
import { until } from "./until.ts";

let server: NatsServer;
let bus: Bus;

beforeAll(async () => {
  server = await startNatsServer();
  bus = await Bus.connect({ url: server.url, name: "test" });
});

afterAll(async () => {
  await bus.close();
  await server.stop();
});

const append = (subject: string, text: string, headers?: Record<string, string>): Promise<AppendResult> =>
  new Promise((resolve) => bus.append(subject, Buffer.from(text), resolve, headers ? { headers } : {}));

describe("connecting", () => {
  it("refuses a server older than 2.12 in one line", async () => {
    const old = createServer((socket) => {
      socket.write('INFO {"server_id":"X","version":"2.11.9","proto":1,"headers":true,"max_payload":1048576}\r\n');
      socket.on("data", (data) => data.includes("PING") && socket.write("PONG\r\n"));
      socket.on("error", () => undefined);
    });
    await new Promise<void>((resolve) => old.listen(0, "127.0.0.1", resolve));
    const url = `nats://127.0.0.1:${(old.address() as AddressInfo).port}`;
    const refusal = Bus.connect({ url, name: "test" });
    await expect(refusal).rejects.toMatchObject({ code: "HAWSER_E_NATS_VERSION", message: `nats-server 2.11.9 at ${url} is too old: 2.12 or newer is needed` });
    old.close();
  });

  it("says in one line that nobody is there, after the time given", async () => {
    const refusal = Bus.connect({ url: "nats://127.0.0.1:1", name: "test", connectWithinMs: 100 });
    await expect(refusal).rejects.toMatchObject({ code: "HAWSER_E_NATS_CONNECT", message: expect.stringContaining("nats://127.0.0.1:1") });
  });

  it("waits for a server that is still starting", async () => {
    const late = await startNatsServer();
    await late.kill();
    const connecting = Bus.connect({ url: late.url, name: "test" });
    await late.restart();
    const connected = await connecting;
    expect(connected.connected).toBe(true);
    await connected.close();
    await late.stop();
  });
});

describe("requests", () => {
  it("bring the answer of whoever listens", async () => {
    bus.subscribe("echo", (message) => message.respond(Buffer.concat([Buffer.from("re: "), message.data])));
    await bus.flush();
    expect((await bus.request("echo", Buffer.from("hello"), 1000)).toString()).toBe("re: hello");
  });

  it("fail at once when nobody listens, and after their time when nobody answers", async () => {
    await expect(bus.request("nobody", Buffer.alloc(0), 60_000)).rejects.toMatchObject({ kind: "no-responders" });
    bus.subscribe("silent", () => undefined);
    await bus.flush();
    await expect(bus.request("silent", Buffer.alloc(0), 50)).rejects.toMatchObject({ kind: "timeout" });
    await expect(bus.request("silent", Buffer.alloc(0), 50)).rejects.toBeInstanceOf(BusError);
  });

  it("each get their own answer, however many are open", async () => {
    bus.subscribe("same", (message) => message.respond(message.data));
    await bus.flush();
    const answers = await Promise.all(Array.from({ length: 500 }, (_, at) => bus.request("same", Buffer.from(String(at)), 5000)));
    expect(answers.map(String)).toEqual(Array.from({ length: 500 }, (_, at) => String(at)));
  });
});

describe("appends", () => {
  it("are stored with a sequence, refused for certain when the stream is full, unknown without a stream", async () => {
    await bus.ensureStream({ name: "SMALL", subjects: ["small"], discard: "new", max_msgs: 2 });
    expect(await append("small", "1")).toEqual({ kind: "stored", sequence: 1 });
    expect(await append("small", "2")).toEqual({ kind: "stored", sequence: 2 });
    expect(await append("small", "3")).toMatchObject({ kind: "refused", code: 10_077 });
    expect(await append("nowhere", "1")).toEqual({ kind: "unknown" });
    expect(await append("small", "x".repeat(2_000_000))).toMatchObject({ kind: "refused" });
  });

  it("of the same message id are stored once, and say where", async () => {
    await bus.ensureStream({ name: "ONCE", subjects: ["once"] });
    expect(await append("once", "1", { "Nats-Msg-Id": "a" })).toEqual({ kind: "stored", sequence: 1 });
    expect(await append("once", "2", { "Nats-Msg-Id": "a" })).toEqual({ kind: "stored", sequence: 1, duplicate: true });
  });

  it("are unknown when the answer says so or says nothing", () => {
    const answer = (text: string) => parsePubAck(Buffer.from(text));
    expect(answer('{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 3"},"stream":"S","seq":0}')).toEqual({
      kind: "refused",
      code: 10_071,
      reason: "wrong last sequence: 3",
    });
    expect(answer('{"error":{"code":409,"err_code":10158,"description":"duplicate message id is in process"}}')).toEqual({ kind: "unknown" });
    expect(answer("")).toEqual({ kind: "unknown" });
  });
});

describe("a stream", () => {
  it("that exists with another meaning is refused, and one of another size is adjusted", async () => {
    await bus.ensureStream({ name: "SIZE", subjects: ["size"], storage: "file", max_bytes: 10_000 });
    await expect(bus.ensureStream({ name: "SIZE", subjects: ["size"], storage: "memory" })).rejects.toMatchObject({
      code: "HAWSER_E_STREAM_MISMATCH",
      message: "stream SIZE: storage is file, memory is needed",
    });
    await expect(bus.ensureStream({ name: "SIZE", subjects: ["other"] })).rejects.toMatchObject({ code: "HAWSER_E_STREAM_MISMATCH" });
    expect((await bus.ensureStream({ name: "SIZE", subjects: ["size"], max_bytes: 20_000 })).config.max_bytes).toBe(20_000);
  });
});

describe("an outage", () => {
  it("fails open requests at once, refuses to publish, and ends with everything as before", async () => {
    const own = await startNatsServer();
    const first = await Bus.connect({ url: own.url, name: "outage" });
    const heard: string[] = [];
    first.subscribe("news", (message) => heard.push(message.data.toString()));
    first.subscribe("never", () => undefined);
    await first.flush();
    const events: boolean[] = [];
    first.onStatus((connected) => events.push(connected));
    const open = first.request("never", Buffer.alloc(0), 60_000).catch((error: BusError) => error.kind);
    await own.kill("SIGKILL");
    expect(await open).toBe("disconnected");
    expect(first.connected).toBe(false);
    expect(first.publish("news", Buffer.from("lost"))).toBe(false);
    await expect(first.request("news", Buffer.alloc(0), 1000)).rejects.toMatchObject({ kind: "disconnected" });
    await expect(first.flush()).rejects.toMatchObject({ kind: "disconnected" });
    expect(await new Promise((resolve) => first.append("news", Buffer.alloc(0), resolve))).toEqual({ kind: "unknown" });
    await own.restart();
    await until(() => first.connected);
    expect(first.publish("news", Buffer.from("kept"))).toBe(true);
    await until(() => heard.length > 0);
    expect(heard).toEqual(["kept"]);
    expect(events).toEqual([false, true]);
    await first.close();
    await own.stop();
  });
});

describe("closing", () => {
  it("handles what has arrived, waits for open requests, and sends nothing afterwards", async () => {
    const closing = await Bus.connect({ url: server.url, name: "closing" });
    let handled = 0;
    closing.subscribe("work", () => handled++);
    bus.subscribe("slow", (message) => void setTimeout(() => message.respond(Buffer.from("done")), 200));
    await Promise.all([closing.flush(), bus.flush()]);
    for (let at = 0; at < 1000; at++) bus.publish("work", Buffer.alloc(10));
    await bus.flush();
    const open = closing.request("slow", Buffer.alloc(0), 5000);
    await closing.close();
    expect((await open).toString()).toBe("done");
    expect(handled).toBe(1000);
    expect(closing.publish("work", Buffer.alloc(0))).toBe(false);
    await closing.close();
  });

  it("takes a bounded time while the server is frozen", async () => {
    const frozen = await startNatsServer();
    const closing = await Bus.connect({ url: frozen.url, name: "closing" });
    closing.subscribe("work", () => undefined);
    await closing.flush();
    await frozen.kill("SIGSTOP");
    const startedMs = performance.now();
    await closing.close();
    expect(performance.now() - startedMs).toBeLessThan(7_000);
    await frozen.kill("SIGCONT");
    await frozen.stop();
  });
});
