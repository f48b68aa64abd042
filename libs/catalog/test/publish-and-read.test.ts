import { Bus } from "@hawser/bus";
import { type NatsServer, startNatsServer } from "@hawser/testkit";
import { buckets } from "@hawser/wire";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { CatalogReader, publishCatalog } from "../src/index.ts";
import { exampleDocument } from "./example.ts";

let server: NatsServer;
let bus: Bus;
let readers: CatalogReader[] = [];

beforeAll(async () => {
  server = await startNatsServer();
  bus = await Bus.connect({ url: server.url, name: "catalog-test" });
});
afterAll(async () => {
  await bus.close();
  await server.stop();
});
beforeEach(async () => {
  await bus.jsm.streams.delete(`KV_${buckets.catalog}`).catch(() => undefined);
});
afterEach(() => {
  for (const reader of readers) reader.stop();
  readers = [];
});

async function read(options: Parameters<typeof CatalogReader.start>[1] = {}): Promise<CatalogReader> {
  const reader = await CatalogReader.start(bus, options);
  readers.push(reader);
  return reader;
}

/** Resolves when the reader has come to a revision. */
function reached(reader: CatalogReader, revision: number): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => void (reader.version >= revision ? (stop(), resolve()) : undefined);
    const stop = reader.onChange(look);
    look();
  });
}

describe("a published catalogue", () => {
  test("is what a reader has when it starts", async () => {
    const published = await publishCatalog(bus, exampleDocument());
    expect(published).toMatchObject({ changed: [{ id: "default", version: 1 }, { id: "open", version: 1 }], removed: [], unchanged: [] });
    const reader = await read();
    expect(reader.version).toBe(published.revision);
    expect(reader.instances().map((instance) => instance.id).sort()).toEqual(["default", "open"]);
    expect(reader.instance("default")!.destinations("demo", true, false)).toMatchObject({ inbox: true });
    expect(reader.instance("none")).toBe(undefined);
  });

  test("reaches a reader that runs already, instance by instance", async () => {
    const reader = await read();
    expect([reader.version, reader.instances()]).toEqual([0, []]);
    const seen: [string, number | undefined][] = [];
    reader.onChange((id, instance) => seen.push([id, instance?.version]));
    await reached(reader, (await publishCatalog(bus, exampleDocument())).revision);
    const document = exampleDocument();
    document.instances[0].parents.push("fresh");
    const second = await publishCatalog(bus, document);
    expect(second).toMatchObject({ changed: [{ id: "default", version: 2 }], unchanged: ["open"] });
    await reached(reader, second.revision);
    expect(reader.instance("default")!.hasParent("fresh")).toBe(true);
    expect(seen).toEqual([
      ["default", 1],
      ["open", 1],
      ["default", 2],
    ]);
  });

  test("that has not changed is not written again", async () => {
    const first = await publishCatalog(bus, exampleDocument());
    const second = await publishCatalog(bus, exampleDocument());
    expect(second).toEqual({ changed: [], removed: [], unchanged: ["default", "open"], revision: first.revision });
  });

  test("without an instance removes it, and its version goes on when it returns", async () => {
    const reader = await read();
    await publishCatalog(bus, exampleDocument());
    const without = exampleDocument();
    without.instances.pop();
    const second = await publishCatalog(bus, without);
    expect(second).toMatchObject({ changed: [], removed: ["open"], unchanged: ["default"] });
    await reached(reader, second.revision);
    expect(reader.instance("open")).toBe(undefined);
    expect(await publishCatalog(bus, without)).toMatchObject({ removed: [], unchanged: ["default"] });
    expect(await publishCatalog(bus, exampleDocument())).toMatchObject({ changed: [{ id: "open", version: 3 }] });
  });

  test("that is wrong is not published at all", async () => {
    const document = exampleDocument();
    document.instances[1].rules[0].topic = "a.b";
    await expect(publishCatalog(bus, document)).rejects.toMatchObject({ code: "HAWSER_E_CATALOG_INVALID" });
    expect((await read()).instances()).toEqual([]);
  });

  test("by two at once is one after the other", async () => {
    const documents = [0, 1, 2, 3].map((at) => {
      const document = exampleDocument();
      document.instances[0].parents.push(`p${at}`);
      return document;
    });
    const published = await Promise.all(documents.map((document) => publishCatalog(bus, document)));
    const versions = published.flatMap((each) => each.changed.filter((change) => change.id === "default").map((change) => change.version));
    expect(versions.sort()).toEqual([1, 2, 3, 4]);
    const reader = await read();
    const last = published.findIndex((each) => each.changed.some((change) => change.id === "default" && change.version === 4));
    expect(reader.instance("default")!.hasParent(`p${last}`)).toBe(true);
  });
});

describe("a record that cannot be used", () => {
  test.each([
    ["no JSON", "{"],
    ["another format", JSON.stringify({ format: 2, version: 9, instance: { id: "default" } })],
    ["no instance", JSON.stringify({ format: 1, version: 9 })],
    ["a broken instance", JSON.stringify({ format: 1, version: 9, instance: { id: "default", groups: 3 } })],
    ["another instance", JSON.stringify({ format: 1, version: 9, instance: { id: "open" } })],
  ])("(%s) takes the instance out of service, and is told", async (_, value) => {
    const published = await publishCatalog(bus, exampleDocument());
    const errors: object[] = [];
    const reader = await read({ log: { error: (fields) => errors.push(fields) } });
    const kv = bus.kv(buckets.catalog);
    const entry = (await kv.get("instance.default"))!;
    expect(await kv.update("instance.default", Buffer.from(value), entry.revision)).toMatchObject({ kind: "ok" });
    await reached(reader, published.revision + 1);
    expect(reader.instance("default")).toBe(undefined);
    expect(reader.instance("open")).toBeDefined();
    expect(errors).toMatchObject([{ instance: "default" }]);
    await reached(reader, (await publishCatalog(bus, exampleDocument())).revision);
    expect(reader.instance("default")).toBeDefined();
  });

  test("is not one that a newer member wrote: what is not known is left out", async () => {
    await publishCatalog(bus, exampleDocument());
    const kv = bus.kv(buckets.catalog);
    const entry = (await kv.get("instance.default"))!;
    const stored = JSON.parse(entry.value.toString());
    stored.instance.quotas = { connections: 5 };
    stored.instance.rules[0].throttle = 1;
    stored.instance.rules.push({ id: "new", kind: "mirror", to: "x" });
    await kv.update("instance.default", Buffer.from(JSON.stringify(stored)), entry.revision);
    const reader = await read();
    expect(reader.instance("default")!.outboundRules("demo")).toHaveLength(2);
    expect(reader.instance("default")!.rule("new")).toBe(undefined);
  });
});

test("the last copy stays in force while NATS is away, and what changed meanwhile is read afterwards", async () => {
  const reader = await read();
  await reached(reader, (await publishCatalog(bus, exampleDocument())).revision);
  const away = new Promise<void>((resolve) => void bus.onStatus((connected) => void (connected ? undefined : resolve())));
  await server.kill();
  await away;
  expect(reader.instance("default")!.hasGroup("GID_demo")).toBe(true);
  await server.restart();
  const other = await Bus.connect({ url: server.url, name: "other" });
  const document = exampleDocument();
  document.instances[0].groups.push("GID_late");
  await reached(reader, (await publishCatalog(other, document)).revision);
  await other.close();
  expect(reader.instance("default")!.hasGroup("GID_late")).toBe(true);
});
