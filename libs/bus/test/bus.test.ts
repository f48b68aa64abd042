import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startNatsServer, type NatsServer } from "@hawser/testkit";
import { Bus, BusError, type AppendResult } from "../src/index.ts";

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

const append = (subject: string, text: string): Promise<AppendResult> =>
  new Promise((resolve) => bus.append(subject, Buffer.from(text), resolve));

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 10));
}

describe("requests", () => {
  it("bring the answer of whoever listens", async () => {
    bus.subscribe("echo", (message) => message.respond(Buffer.concat([Buffer.from("re: "), message.data])));
    await bus.flush();
    expect((await bus.request("echo", Buffer.from("hello"), 1000)).toString()).toBe("re: hello");
  });

  it("fail at once when nobody listens, and after their time when nobody answers", async () => {
    await expect(bus.request("nobody", Buffer.alloc(0), 1000)).rejects.toMatchObject({ kind: "no-responders" });
    bus.subscribe("silent", () => undefined);
    await bus.flush();
    await expect(bus.request("silent", Buffer.alloc(0), 50)).rejects.toMatchObject({ kind: "timeout" });
    await expect(bus.request("silent", Buffer.alloc(0), 50)).rejects.toBeInstanceOf(BusError);
  });
});

describe("appends", () => {
  it("are stored with a sequence, refused for certain when the stream is full, unknown without a stream", async () => {
    await bus.ensureStream({ name: "SMALL", subjects: ["small"], discard: "new", max_msgs: 2 } as never);
    expect(await append("small", "1")).toEqual({ kind: "stored", sequence: 1 });
    expect(await append("small", "2")).toEqual({ kind: "stored", sequence: 2 });
    expect(await append("small", "3")).toMatchObject({ kind: "refused", code: 10_077 });
    expect(await append("nowhere", "1")).toEqual({ kind: "unknown" });
  });
});

describe("a bucket", () => {
  it("takes a write only against the revision it names", async () => {
    const kv = await bus.ensureKv("cas");
    const created = await kv.create("a.b", Buffer.from("1"));
    expect(created.kind).toBe("ok");
    expect(await kv.create("a.b", Buffer.from("2"))).toEqual({ kind: "conflict" });
    const revision = created.kind === "ok" ? created.revision : 0;
    expect(await kv.update("a.b", Buffer.from("3"), revision + 1)).toEqual({ kind: "conflict" });
    expect(await kv.update("a.b", Buffer.from("3"), revision)).toMatchObject({ kind: "ok" });
    expect((await kv.get("a.b"))?.value.toString()).toBe("3");
    expect(await kv.get("a.c")).toBeNull();
  });

  it("can be written again after a delete, and lists what lives below a prefix", async () => {
    const kv = await bus.ensureKv("lists");
    for (const key of ["5.x", "5.x.1", "5.y", "6.x"]) await kv.create(key, Buffer.from(key));
    const entry = await kv.get("5.y");
    expect(await kv.delete("5.y", entry!.revision)).toMatchObject({ kind: "ok" });
    expect((await kv.list("5.")).map(({ key }) => key).sort()).toEqual(["5.x", "5.x.1"]);
    expect((await kv.list("5.x")).map(({ key }) => key).sort()).toEqual(["5.x", "5.x.1"]);
    expect(await kv.create("5.y", Buffer.from("again"))).toMatchObject({ kind: "ok" });
    expect(await kv.list("7.")).toEqual([]);
  });

  it("writes many keys as one batch, and only the stale ones fail", async () => {
    const kv = await bus.ensureKv("batch");
    const writes = Array.from({ length: 100 }, (_, at) => ({ key: `k.${at}`, value: Buffer.from(String(at)), revision: 0 }));
    const first = await kv.updateAll(writes);
    expect(first.every(({ kind }) => kind === "ok")).toBe(true);
    expect(first.map((result, at) => [result.kind === "ok" && result.revision, at])).toEqual(
      (await kv.list("k.")).map(({ key, revision }) => [revision, Number(key.slice(2))]),
    );
    const again = await kv.updateAll(
      writes.map((write, at) => ({ ...write, revision: at === 7 ? 1_000_000 : (first[at] as { revision: number }).revision })),
    );
    expect(again.map(({ kind }) => kind).filter((kind) => kind !== "ok")).toEqual(["conflict"]);
    expect(again[7]).toEqual({ kind: "conflict" });
  });

  it("is watched across a killed server", async () => {
    const kv = await bus.ensureKv("watched");
    await kv.create("a", Buffer.from("1"));
    const seen: string[] = [];
    const watch = await kv.watch("", ({ key, value }) => seen.push(`${key}=${value?.toString() ?? "gone"}`));
    expect(seen).toEqual(["a=1"]);
    await kv.create("b", Buffer.from("2"));
    await until(() => seen.includes("b=2"));
    const events: boolean[] = [];
    const stop = bus.onStatus((connected) => events.push(connected));
    server.kill("SIGKILL");
    await until(() => events.includes(false));
    await expect(bus.request("echo", Buffer.alloc(0), 1000)).rejects.toMatchObject({ kind: "disconnected" });
    expect(bus.publish("lost", Buffer.alloc(0))).toBe(false);
    await server.restart();
    await until(() => events.includes(true));
    stop();
    await until(() => bus.connected);
    expect(await kv.create("c", Buffer.from("3"))).toMatchObject({ kind: "ok" });
    await until(() => seen.includes("c=3"));
    expect(seen.filter((line) => line === "a=1")).toHaveLength(1);
    expect(watch.revision).toBe(3);
    watch.stop();
  });
});
