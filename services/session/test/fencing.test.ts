import { Bus } from "@hawser/bus";
import { decodeCheckpoint, type SessionQueue } from "@hawser/inbox";
import { createLogger } from "@hawser/telemetry";
import { startNatsServer, type NatsServer } from "@hawser/testkit";
import { buckets, encodeEnvelope, encodeInboxEntry, inboxStreamConfig, streams, subjects } from "@hawser/wire";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FilterPublisher } from "../src/filter-publisher.ts";
import { InboxRunner } from "../src/inbox-runner.ts";
import { IngressOrders } from "../src/ingress-orders.ts";
import { until } from "./fakes.ts";

let server: NatsServer;
let bus: Bus;

beforeAll(async () => {
  server = await startNatsServer();
  bus = await Bus.connect({ url: server.url, name: "test" });
  await bus.ensureStream(inboxStreamConfig() as unknown as Parameters<Bus["ensureStream"]>[0]);
  await bus.ensureKv(buckets.positions);
  await bus.ensureKv(buckets.filters);
});

afterAll(async () => {
  await bus.close();
  await server.stop();
});

function runner(shard: number, epoch: number, onFenced = (): void => undefined): { runner: InboxRunner; queue: SessionQueue } {
  const made = new InboxRunner({
    bus,
    positions: bus.kv(buckets.positions),
    orders: new IngressOrders(bus),
    shard,
    epoch,
    limits: { maxMessages: 100, maxAgeMs: 1e9, windowMessages: 10, cacheBytes: 1 << 20 },
    mayServe: () => true,
    receiptOf: () => null,
    onFenced,
    logger: createLogger("session", "test", "silent"),
  });
  const queue = made.inbox.open({ instance: "default", clientId: "a", token: "t", bornEpoch: 1, bornCounter: 1 });
  return { runner: made, queue };
}

function append(shard: number, logSequence: number): Promise<void> {
  const envelope = encodeEnvelope({
    origin: "i",
    sequence: logSequence,
    publishedAtMs: Date.now(),
    qos: 1,
    retain: false,
    sender: "s",
    persistent: false,
    topic: "x",
    target: null,
    trace: null,
    properties: null,
    payload: Buffer.from("p"),
  });
  const entry = encodeInboxEntry({ partition: 0, logSequence, messages: [{ instance: "default", envelope }] });
  return new Promise((resolve, reject) => bus.append(subjects.inbox(shard), entry, ({ kind }) => (kind === "stored" ? resolve() : reject(new Error(kind)))));
}

const entries = async (shard: number): Promise<number> =>
  (await bus.jsm.streams.info(streams.inbox, { subjects_filter: subjects.inbox(shard) })).state.subjects?.[subjects.inbox(shard)] ?? 0;

describe("an owner that was replaced", () => {
  it("writes no positions and purges nothing the new owner's sessions want", async () => {
    let fenced = false;
    const old = runner(1, 1, () => (fenced = true));
    await old.runner.load();
    old.runner.read();
    const next = runner(1, 2);
    next.runner.inbox.subscribe(next.queue, { filter: "x", qos: 1, noLocal: false, retainAsPublished: false, identifier: 0 });
    await next.runner.load();
    await append(1, 1);
    await until(() => old.runner.inbox.readSequence > 0, "the old owner has read what it does not want");
    await old.runner.checkpoint(true);
    expect(fenced).toBe(true);
    await old.runner.trim();
    expect(await entries(1)).toBe(1);
    next.runner.read();
    await until(() => next.queue.length === 1);
    expect(decodeCheckpoint((await bus.kv(buckets.positions).get("1"))!.value).epoch).toBe(2);
    await Promise.all([old.runner.stop(false), next.runner.stop(true)]);
  });

  it("cannot take a shard that a later owner holds", async () => {
    const next = runner(2, 5);
    await next.runner.load();
    await expect(runner(2, 4).runner.load()).rejects.toThrow("epoch 5");
    await next.runner.stop(false);
  });

  it("does not publish its filters any more", async () => {
    let fenced = false;
    const publisher = (epoch: number, filters: [string, string][]): FilterPublisher =>
      new FilterPublisher({ bucket: bus.kv(buckets.filters), board: { members: () => [] }, shard: 3, epoch, filters: () => filters, onFenced: () => (fenced = true) });
    const mine: [string, string][] = [["default", "old"]];
    const old = publisher(1, mine);
    await old.start();
    const next = publisher(2, [["default", "new"]]);
    await next.start();
    mine.push(["default", "more"]);
    const outcome = new Promise((resolve) => {
      old.touch();
      old.whenKnown(resolve);
    });
    expect(await outcome).toBe("stopped");
    expect(fenced).toBe(true);
    expect(JSON.parse((await bus.kv(buckets.filters).get("3"))!.value.toString())).toMatchObject({ epoch: 2, filters: [["default", "new"]] });
    next.stop();
  });
});
