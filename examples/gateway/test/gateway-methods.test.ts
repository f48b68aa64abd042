/** The methods against a real S3 API and a real directory. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { S3mini } from "s3mini";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { CommandFailed, type MethodHandler, type Progress } from "@hawser/gateway-sdk";
import { readEnvironment } from "../src/gateway-environment.ts";
import { gatewayMethods } from "../src/gateway-methods.ts";
import { ShareDirectory } from "../src/share-directory.ts";

const KEY = { accessKeyId: "S3RVER", secretAccessKey: "S3RVER" };
const OBJECTS = 45;
let directory: string;
let s3: ChildProcess;
let endpoint: string;
let root: string;
let shares: ShareDirectory;
let methods: Map<string, MethodHandler>;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "hawser-gateway-"));
  // its continuation tokens are made with DES, which OpenSSL 3 has only in its legacy provider
  s3 = spawn(process.execPath, ["--openssl-legacy-provider", join(import.meta.dirname, "s3-child.ts"), join(directory, "s3")], { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = (await once(s3.stdout!, "data")) as [Buffer];
  endpoint = `http://127.0.0.1:${line.toString().trim()}`;
  const bucket = new S3mini({ ...KEY, endpoint: `${endpoint}/files`, region: "us-east-1" });
  for (let n = 0; n < OBJECTS; n++) await bucket.putObject(`docs/${String(n).padStart(3, "0")}/a b&ü.txt`, "x".repeat(n));
  await bucket.putObject("other.txt", "hello");
}, 30_000);

afterAll(async () => {
  s3.kill("SIGKILL");
  await rm(directory, { recursive: true, force: true });
});

beforeEach(async () => {
  root = await mkdtemp(join(directory, "shares-"));
  shares = new ShareDirectory(root);
  await shares.prepare(["main"]);
  const store = { ...KEY, endpoint, bucket: "files", region: "us-east-1", pageObjects: 20 };
  methods = new Map(gatewayMethods({ device: "gw-1", shares, store, pagePauseMs: 0 }).map((entry) => [entry.method.name, entry]));
});

function run(name: string, params: object, signal = new AbortController().signal, progress: Progress[] = []): Promise<unknown> {
  return methods.get(name)!.run(params, { id: "id", attempt: 1, signal, progress: (step) => void progress.push(step), traceparent: "" });
}

describe("share.reverseSync", () => {
  it("lists every page of the bucket into the share's index and says how far it is", async () => {
    const progress: Progress[] = [];
    const result = await run("share.reverseSync", { share: "main" }, undefined, progress);
    expect(result).toMatchObject({ share: "main", objects: OBJECTS + 1, sizeBytes: 5 + (OBJECTS * (OBJECTS - 1)) / 2, prefix: "" });
    expect(progress.map((step) => step.stage ?? step.counters?.objects)).toEqual(["scan", 20, 40, 46, "done"]);
    const [info] = await shares.list();
    expect(info).toMatchObject({ share: "main", index: { objects: OBJECTS + 1 } });
  });

  it("with a prefix only what begins with it is indexed, keys come back as they are", async () => {
    expect(await run("share.reverseSync", { share: "main", prefix: "docs/00" })).toMatchObject({ objects: 10 });
    const { shares: list } = (await run("share.list", {})) as { shares: { share: string }[] };
    expect(list).toHaveLength(1);
  });

  it("a share that does not exist, and a store that does not answer, are errors with a reason", async () => {
    await expect(run("share.reverseSync", { share: "nowhere" })).rejects.toMatchObject({ error: { code: "NOT_FOUND", reason: "SHARE_NOT_FOUND" } });
    const away = gatewayMethods({ device: "gw-1", shares, store: { ...KEY, endpoint: "http://127.0.0.1:1", bucket: "b", region: "x", pageObjects: 10 }, pagePauseMs: 0 });
    methods = new Map(away.map((entry) => [entry.method.name, entry]));
    await expect(run("share.reverseSync", { share: "main" })).rejects.toBeInstanceOf(CommandFailed);
  });

  it("an aborted run leaves the old index as it was and nothing half done beside it", async () => {
    await run("share.reverseSync", { share: "main", prefix: "other" });
    const abort = new AbortController();
    const running = methods.get("share.reverseSync")!.run(
      { share: "main" },
      { id: "id", attempt: 1, signal: abort.signal, traceparent: "", progress: (step) => step.counters?.objects === 20 && abort.abort(new Error("stop")) },
    );
    await expect(running).rejects.toThrow();
    expect((await shares.list())[0]).toMatchObject({ index: { objects: 1, prefix: "other" } });
    expect((await readdir(join(root, "main"))).sort()).toEqual(["index.json", "index.jsonl"]);
  });
});

describe("the other methods", () => {
  it("ping gives back what it got, info says who runs here", async () => {
    expect(await run("gateway.ping", { payload: { a: 1 } })).toMatchObject({ payload: { a: 1 } });
    expect(await run("gateway.info", {})).toMatchObject({ id: "gw-1", bucket: "files", node: process.version });
  });
});

describe("the environment", () => {
  const least = { GATEWAY_URL: "mqtt://127.0.0.1:1883", GATEWAY_DEVICE_ID: "gw-1", GATEWAY_DATA_DIR: "/tmp/d", GATEWAY_SHARE_DIR: "/tmp/s" };

  it("what is missing, wrong or unknown is named", () => {
    expect(readEnvironment(least).GATEWAY_GROUP).toBe("GID_gateway");
    expect(() => readEnvironment({ ...least, GATEWAY_URL: "http://x" })).toThrow(/GATEWAY_URL/);
    expect(() => readEnvironment({ ...least, GATEWAY_DATADIR: "x" })).toThrow(/GATEWAY_DATADIR/);
  });
});

describe("the index on disk", () => {
  it("is one JSON object per line", async () => {
    await mkdir(join(directory, "one", "main"), { recursive: true });
    const one = new ShareDirectory(join(directory, "one"));
    const object = { key: "k", sizeBytes: 1, etag: "e", modified: "2020-01-01T00:00:00.000Z" };
    await one.buildIndex("main", "", (async function* () {
      yield [object, object];
    })(), () => undefined);
    const lines = (await readFile(join(directory, "one", "main", "index.jsonl"), "utf8")).trim().split("\n");
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([object, object]);
    expect(await readdir(join(directory, "one", "main"))).toEqual(["index.json", "index.jsonl"]);
  });
});
