import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Bus } from "@hawser/bus";
import { startNatsServer, type NatsServer } from "@hawser/testkit";
import { buckets, encodeLogEntry, RecordKind, streams, subjects, type LogEntry, type LogRecord } from "@hawser/wire";
import { cursorKey, decodeCursor, ensureLog, LogConsumer, LogWriter, trimLog, type AppendOutcome } from "../src/index.ts";
import { until } from "./until.ts";

let server: NatsServer;
let bus: Bus;
const destinations = { instance: "default", rules: ["r"], inbox: true, actor: null };
const record = (text: string): LogRecord => ({ kind: RecordKind.publish, destinations, body: Buffer.from(text) });

beforeAll(async () => {
  server = await startNatsServer();
  bus = await Bus.connect({ url: server.url, name: "log" });
  await ensureLog(bus, { partitions: 4, maxBytes: 64 * 1024 * 1024 });
  await ensureFull();
});

afterAll(async () => {
  await bus.close();
  await server.stop();
});

/** Partition 3 takes 4 KiB. */
async function ensureFull(): Promise<void> {
  await bus.jsm.streams.update(streams.log(3), { max_bytes: 4096 } as never);
}

const writers: LogWriter[] = [];
function writer(origin: string, giveUpMs = 30_000): LogWriter {
  const made = new LogWriter({ bus, origin, partitions: 4, maxEntryBytes: 64 * 1024, commitsInFlight: 2, giveUpMs });
  writers.push(made);
  return made;
}
afterAll(() => writers.forEach((each) => each.stop()));

function consumer(partition: number, epoch: number, onEntry: (entry: LogEntry, sequence: number) => void, options: { alive?: boolean; fenced?: () => void } = {}): LogConsumer {
  return new LogConsumer({
    bus,
    name: "test",
    partition,
    epoch,
    isAlive: () => options.alive ?? true,
    onEntry,
    onFenced: options.fenced ?? (() => undefined),
  });
}

async function cursorAt(name: string, partition: number, sequence: number): Promise<void> {
  for (;;) {
    const stored = await bus.kv(buckets.cursors).get(cursorKey(name, partition));
    if (stored && decodeCursor(stored.value).sequence >= sequence) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe("the log", () => {
  it("keeps everything it has acknowledged, once and in order, while the server is killed under load", async () => {
    const log = writer("killed");
    const acknowledged: string[] = [];
    let sent = 0;
    const timer = setInterval(() => {
      for (let more = 20; more > 0; more--) {
        const text = String(++sent);
        log.append(0, record(text), (outcome) => outcome === "stored" && acknowledged.push(text));
      }
    }, 2);
    const got: string[] = [];
    const reader = consumer(0, 1, (entry, sequence) => {
      for (const { body } of entry.records) got.push(body.toString());
      reader.done(sequence);
    });
    expect(await reader.start()).toBe(true);
    await until(() => acknowledged.length > 500);
    await server.kill("SIGKILL");
    await server.restart();
    const before = acknowledged.length;
    await until(() => acknowledged.length > before + 500);
    clearInterval(timer);
    await log.flushed();
    expect(acknowledged).toHaveLength(sent);
    await until(() => got.length >= sent);
    expect(got).toEqual(Array.from({ length: sent }, (_, at) => String(at + 1)));
    await until(() => reader.lag.entries === 0);
    await reader.stop();
    expect(await trimLog(bus, 0, ["test"])).toBe(reader.position);
    expect((await bus.jsm.streams.info(streams.log(0))).state.messages).toBe(0);
  });

  it("hands on again what a crashed owner had not finished, and refuses the crashed owner's cursor", async () => {
    const log = writer("crash");
    for (let at = 0; at < 10; at++) {
      await new Promise<void>((resolve) => log.append(1, record(String(at)), () => resolve()));
    }
    let fenced = false;
    const old = consumer(1, 1, (_, sequence) => sequence <= 4 && old.done(sequence), { fenced: () => (fenced = true) });
    await old.start();
    await until(() => old.position === 4);
    await cursorAt("test", 1, 4);
    const got: string[] = [];
    const next = consumer(1, 2, (entry, sequence) => {
      got.push(entry.records[0]!.body.toString());
      next.done(sequence);
    });
    expect(await next.start()).toBe(true);
    await until(() => got.length === 6);
    expect(got).toEqual(["4", "5", "6", "7", "8", "9"]);
    old.done(5);
    await until(() => fenced);
    expect(await consumer(1, 1, () => undefined).start()).toBe(false);
    await next.stop();
  });

  it("goes on behind the gap of an origin that is dead", async () => {
    const append = (origin: string, number: number) =>
      new Promise<void>((resolve) => bus.append(subjects.log(2), encodeLogEntry(origin, number, [record(`${origin}${number}`)]), () => resolve()));
    await append("dead", 1);
    await append("dead", 3);
    const got: string[] = [];
    const reader = consumer(2, 1, (entry, sequence) => {
      got.push(entry.records[0]!.body.toString());
      reader.done(sequence);
    }, { alive: false });
    await reader.start();
    await until(() => got.length === 2);
    await append("dead", 2);
    await append("dead", 4);
    await until(() => got.length === 3);
    expect(got).toEqual(["dead1", "dead3", "dead4"]);
    await reader.stop();
  });

  it("tells publishers after the time limit that a full log has refused, and acknowledges none of them", async () => {
    const log = writer("full", 1000);
    const outcomes: AppendOutcome[] = [];
    for (let at = 0; at < 20; at++) {
      log.append(3, record("x".repeat(1000)), (outcome) => outcomes.push(outcome));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await until(() => outcomes.length === 20);
    expect(outcomes).toContain("refused");
    expect(outcomes).not.toContain("ambiguous");
    let found = 0;
    const reader = consumer(3, 1, (entry) => (found += entry.records.length));
    await reader.start();
    await until(() => found === outcomes.filter((outcome) => outcome === "stored").length);
    await reader.stop();
    const info = await bus.jsm.streams.info(streams.log(3));
    expect(info.state.bytes).toBeLessThanOrEqual(4096);
  });
});
