import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startNatsServer, type NatsServer } from "@hawser/testkit";
import { Bus, type WriteResult } from "../src/index.ts";
import { until } from "./until.ts";

let server: NatsServer;
let bus: Bus;

beforeAll(async () => {
  server = await startNatsServer();
  bus = await Bus.connect({ url: server.url, name: "kv" });
});

afterAll(async () => {
  await bus.close();
  await server.stop();
});

function revisionOf(result: WriteResult): number {
  if (result.kind !== "ok") throw new Error(result.kind);
  return result.revision;
}

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

  it("deletes many keys in a batch, keeps no marker for ever, and takes the keys again", async () => {
    const kv = await bus.ensureKv("deletes");
    const keys = Array.from({ length: 20 }, (_, at) => `d.${at}`);
    const created = await kv.updateAll(keys.map((key) => ({ key, value: Buffer.from("1"), revision: 0 })));
    const deleted = await kv.updateAll(keys.map((key, at) => ({ key, value: null, revision: revisionOf(created[at]!) })));
    expect(deleted.every(({ kind }) => kind === "ok")).toBe(true);
    expect(await kv.list("d.")).toEqual([]);
    const marker = await bus.jsm.streams.getMessage("KV_deletes", { last_by_subj: "$KV.deletes.d.0" });
    expect(marker?.header.get("Nats-TTL")).toBe("3600");
    const again = await kv.updateAll(keys.map((key) => ({ key, value: Buffer.from("2"), revision: 0 })));
    expect(again.every(({ kind }) => kind === "ok")).toBe(true);
    expect((await kv.list("d.")).map(({ value }) => value.toString())).toEqual(keys.map(() => "2"));
  });

  it("lets one of many writers of the same revision win", async () => {
    const kv = await bus.ensureKv("race");
    const results = await Promise.all(Array.from({ length: 20 }, (_, at) => kv.create("one", Buffer.from(String(at)))));
    expect(results.filter(({ kind }) => kind === "ok")).toHaveLength(1);
    expect(results.filter(({ kind }) => kind === "conflict")).toHaveLength(19);
    expect((await kv.get("one"))?.value.toString()).toBe(String(results.findIndex(({ kind }) => kind === "ok")));
  });

  it("that does not exist is an error, not an empty one", async () => {
    await expect(bus.kv("missing").get("a")).rejects.toThrow("stream not found");
    await expect(bus.kv("missing").watch("", () => undefined)).rejects.toThrow();
    expect(await bus.kv("missing").create("a", Buffer.alloc(0))).toEqual({ kind: "unknown" });
  });

  it("lists more keys than one fetch brings", async () => {
    const kv = await bus.ensureKv("many");
    const writes = Array.from({ length: 2_500 }, (_, at) => ({ key: `m.${at}`, value: Buffer.from(String(at)), revision: 0 }));
    expect((await kv.updateAll(writes)).every(({ kind }) => kind === "ok")).toBe(true);
    expect((await kv.list("")).map(({ key }) => key)).toEqual(writes.map(({ key }) => key));
  });
});

describe("a watch", () => {
  it("tells every key, every change and every deletion once, across a killed server", async () => {
    const own = await startNatsServer();
    const watching = await Bus.connect({ url: own.url, name: "watching" });
    const kv = await watching.ensureKv("watched");
    await kv.create("a", Buffer.from("1"));
    const gone = revisionOf(await kv.create("gone", Buffer.from("1")));
    const seen: string[] = [];
    const watch = await kv.watch("", ({ key, value }) => seen.push(`${key}=${value?.toString() ?? "deleted"}`));
    expect(seen).toEqual(["a=1", "gone=1"]);
    await kv.create("b", Buffer.from("2"));
    await until(() => seen.includes("b=2"));

    await own.kill("SIGKILL");
    await until(() => !watching.connected);
    await own.restart();
    await until(() => watching.connected);
    expect((await kv.delete("gone", gone)).kind).toBe("ok");
    expect((await kv.create("c", Buffer.from("3"))).kind).toBe("ok");
    await until(() => seen.includes("c=3"));
    expect(seen).toEqual(["a=1", "gone=1", "b=2", "gone=deleted", "c=3"]);
    expect(watch.revision).toBe(5);

    await watch.reconcile();
    expect(seen).toHaveLength(5);
    watch.stop();
    await watching.close();
    await own.stop();
  });

  it("tells as deleted what has vanished without a marker while it was not looking", async () => {
    const kv = await bus.ensureKv("vanished");
    await kv.updateAll(["a", "b"].map((key) => ({ key, value: Buffer.from(key), revision: 0 })));
    const seen: string[] = [];
    const watch = await kv.watch("", ({ key, value }) => seen.push(`${key}=${value?.toString() ?? "deleted"}`));
    await bus.jsm.streams.purge("KV_vanished", { filter: "$KV.vanished.a" });
    await watch.reconcile();
    expect(seen).toEqual(["a=a", "b=b", "a=deleted"]);
    watch.stop();
  });

  it("goes on when the server has forgotten its consumer", async () => {
    const kv = await bus.ensureKv("forgotten");
    const seen: string[] = [];
    const watch = await kv.watch("x.", ({ key }) => seen.push(key));
    for await (const { name } of bus.jsm.consumers.list("KV_forgotten")) await bus.jsm.consumers.delete("KV_forgotten", name);
    await kv.create("x.1", Buffer.alloc(0));
    await kv.create("y.1", Buffer.alloc(0));
    await until(() => seen.length > 0);
    expect(seen).toEqual(["x.1"]);
    watch.stop();
  });

  it("resolves although the server dies while it begins", async () => {
    const own = await startNatsServer();
    const watching = await Bus.connect({ url: own.url, name: "watching" });
    const kv = await watching.ensureKv("slow");
    await kv.updateAll(Array.from({ length: 900 }, (_, at) => ({ key: `k.${at}`, value: Buffer.alloc(500), revision: 0 })));
    const seen = new Set<string>();
    let killed: Promise<void> | undefined;
    const watch = await kv.watch("", ({ key }) => {
      seen.add(key);
      killed ??= own.kill("SIGKILL").then(() => own.restart());
    });
    await killed;
    expect(seen.size).toBe(900);
    watch.stop();
    await watching.close();
    await own.stop();
  });
});
