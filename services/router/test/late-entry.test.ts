/** An entry that had to wait behind a gap reaches the inboxes too: real log, real inbox stream, the owner's own inbox. */
import { Bus, StreamReader } from "@hawser/bus";
import { ShardInbox } from "@hawser/inbox";
import { ensureLog, LogConsumer } from "@hawser/log";
import { createLogger } from "@hawser/telemetry";
import { type NatsServer, startNatsServer } from "@hawser/testkit";
import { buckets, decodeEnvelope, decodeInboxEntry, encodeEnvelope, encodeLogEntry, encodeVoidEntry, inboxStreamConfig, RecordKind, streams, subjects } from "@hawser/wire";
import { afterAll, beforeAll, expect, it } from "vitest";
import { FilterIndex } from "../src/filter-index.ts";
import { InboxDrain } from "../src/inbox-drain.ts";

const SHARD = 1;
const PARTITION = 0;
const log = createLogger("router", "router-0_test", "silent");
const destinations = { instance: "default", rules: [], inbox: true, actor: null };
const wait = { timeout: 10_000, interval: 10 };

let server: NatsServer;
let bus: Bus;
let filters: FilterIndex;

beforeAll(async () => {
  server = await startNatsServer();
  bus = await Bus.connect({ url: server.url, name: "late" });
  await ensureLog(bus, { partitions: 1, maxBytes: 1_048_576 });
  await bus.ensureStream(inboxStreamConfig(1) as never);
  const bucket = await bus.ensureKv(buckets.filters);
  await bucket.create(String(SHARD), Buffer.from(JSON.stringify({ version: 1, filters: [["default", "demo/#"]] })));
  filters = new FilterIndex({ bus, replicas: 1, log, onRevision: () => undefined });
  await filters.start();
});

afterAll(async () => {
  filters.stop();
  await bus.close();
  await server.stop();
});

function append(bytes: Buffer): Promise<void> {
  return new Promise((resolve) => bus.append(subjects.log(PARTITION), bytes, () => resolve()));
}

function entry(origin: string, number: number): Buffer {
  const body = encodeEnvelope({
    origin,
    sequence: number,
    publishedAtMs: Date.now(),
    qos: 1,
    retain: false,
    sender: "",
    persistent: false,
    topic: "demo/x",
    target: null,
    trace: null,
    properties: null,
    payload: Buffer.from(`${origin}${number}`),
  });
  return encodeLogEntry(origin, number, [{ kind: RecordKind.publish, destinations, body }]);
}

/** A router's inbox consumer. @param held entries it never gets to append */
async function drain(epoch: number, held: (sequence: number) => boolean = () => false): Promise<LogConsumer> {
  const inbox = new InboxDrain({ partition: PARTITION, bus, filters, log, mayAct: () => true, finished: (sequence) => consumer.done(sequence) });
  const consumer: LogConsumer = new LogConsumer({
    bus,
    name: "inbox",
    partition: PARTITION,
    epoch,
    isAlive: () => true,
    onEntry: (each, sequence, late) => held(sequence) || inbox.take(each, sequence, late),
    onFenced: () => undefined,
  });
  expect(await consumer.start()).toBe(true);
  return consumer;
}

/** What the owner of the shard keeps for a persistent subscriber of everything. */
function owner(): { readonly payloads: string[]; stop(): void } {
  const inbox = new ShardInbox({ maxMessages: 1000, maxAgeMs: 60_000, windowMessages: 1000, cacheBytes: 1_048_576 });
  inbox.checkpointSafe(inbox.checkpoint(1).reservedPosition);
  const queue = inbox.open({ instance: "default", clientId: "c", token: "t", bornEpoch: 1, bornCounter: 1 });
  inbox.subscribe(queue, { filter: "demo/#", qos: 1, noLocal: false, retainAsPublished: false, identifier: 0 });
  inbox.attach(queue, { ingress: "i", connection: 1, sequence: "1.1" });
  const payloads: string[] = [];
  const reader = new StreamReader({
    bus,
    stream: streams.inbox,
    subject: subjects.inbox(SHARD),
    maxInFlight: 100,
    onMessage: (sequence, data) => {
      inbox.take(decodeInboxEntry(data), sequence);
      for (const { envelope } of inbox.collect(() => undefined)) payloads.push(decodeEnvelope(envelope).payload.toString());
    },
    onProblem: () => undefined,
  });
  reader.start(1);
  return { payloads, stop: () => reader.stop() };
}

it("an entry that was held behind a gap reaches the inbox, though entries after it were faster", async () => {
  const { payloads, stop } = owner();
  const consumer = await drain(1);
  await append(entry("a", 2));
  await append(entry("b", 1));
  await append(entry("a", 1));
  await append(entry("a", 4));
  await append(entry("b", 2));
  await append(encodeVoidEntry("a", 3));
  await expect.poll(() => payloads, wait).toEqual(["b1", "a1", "a2", "b2", "a4"]);
  await consumer.stop();
  stop();
});

it("so does one that only the next router gets to append", async () => {
  const { payloads, stop } = owner();
  await expect.poll(() => payloads.length, wait).toBe(5);
  const first = payloads.length;
  const last = (await bus.jsm.streams.info(streams.log(PARTITION))).state.last_seq;
  // the first router dies with d2 unfinished, and what stands behind it stored
  const dying = await drain(2, (sequence) => sequence === last + 2);
  await append(entry("c", 1));
  await append(entry("d", 2));
  await append(entry("c", 2));
  await append(entry("d", 1));
  await expect.poll(() => payloads.slice(first), wait).toEqual(["c1", "c2", "d1"]);
  await dying.stop();
  const next = await drain(3);
  await expect.poll(() => payloads.slice(first), wait).toEqual(["c1", "c2", "d1", "d2"]);
  await next.stop();
  stop();
});
