import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Bus, type AppendResult } from "@hawser/bus";
import { startNatsServer, type NatsServer } from "@hawser/testkit";
import { encodeLogEntry, encodeVoidEntry, RecordKind, streams, subjects, type LogRecord } from "@hawser/wire";
import { ensureLog, LogConsumer, LogWriter, type AppendOutcome } from "../src/index.ts";
import { messageId } from "../src/message-id.ts";
import { until } from "./until.ts";

let server: NatsServer;
let bus: Bus;

beforeAll(async () => {
  server = await startNatsServer();
  bus = await Bus.connect({ url: server.url, name: "void" });
  await ensureLog(bus, { partitions: 5, maxBytes: 64 * 1024 * 1024 });
});

afterAll(async () => {
  await bus.close();
  await server.stop();
});

const destinations = { instance: "default", rules: ["r"], inbox: true, actor: null };
const record = (text: string): LogRecord => ({ kind: RecordKind.publish, destinations, body: Buffer.from(text) });
const append = (partition: number, bytes: Buffer, headers: Record<string, string>): Promise<AppendResult> =>
  new Promise((resolve) => bus.append(subjects.log(partition), bytes, resolve, { headers }));

/** A connection on which appends get lost on their way there (`before`) or on their way back (`after`) while it says so. */
function lossy(lose: () => "before" | "after" | null): Bus {
  const appendLossy: Bus["append"] = (subject, data, done, options) => {
    const lost = lose();
    if (lost === "before") return void setImmediate(() => done({ kind: "unknown" }));
    bus.append(subject, data, (result) => done(lost === "after" ? { kind: "unknown" } : result), options);
  };
  return {
    connected: true,
    append: appendLossy,
    requestCallback: bus.requestCallback.bind(bus),
  } as unknown as Bus;
}

async function texts(partition: number): Promise<string[]> {
  const got: string[] = [];
  const { state } = await bus.jsm.streams.info(streams.log(partition));
  const reader = new LogConsumer({
    bus,
    name: "texts",
    partition,
    epoch: 1,
    isAlive: () => true,
    onEntry: (entry, sequence) => {
      for (const { body } of entry.records) got.push(body.toString());
      reader.done(sequence);
    },
    onFenced: () => undefined,
  });
  await reader.start();
  await until(() => reader.position === state.last_seq);
  await reader.stop();
  return got;
}

describe("a number that somebody voided because its origin looked dead", () => {
  it("is not acknowledged by the origin that lives on, and what follows is", async () => {
    let away = true;
    const writer = new LogWriter({ bus: lossy(() => (away ? "before" : null)), origin: "alive", partitions: 2, maxEntryBytes: 1000, commitsInFlight: 2, giveUpMs: 30_000 });
    const outcomes: AppendOutcome[] = [];
    writer.append(0, record("one"), (outcome) => outcomes.push(outcome));
    await new Promise((resolve) => setTimeout(resolve, 2_100)); // no consumer voids a gap that is younger than 2 s
    expect(await append(0, encodeVoidEntry("alive", 1), messageId("alive", 1))).toMatchObject({ kind: "stored" });
    away = false;
    await until(() => outcomes.length === 1);
    writer.append(0, record("two"), (outcome) => outcomes.push(outcome));
    await writer.flushed();
    expect(outcomes).toEqual(["refused", "stored"]);
    expect(await texts(0)).toEqual(["two"]);
    writer.stop();
  });

  it("stays with the records when they are in the log already", async () => {
    let lost: "after" | null = "after";
    const writer = new LogWriter({ bus: lossy(() => lost), origin: "stored", partitions: 2, maxEntryBytes: 1000, commitsInFlight: 2, giveUpMs: 30_000 });
    const outcomes: AppendOutcome[] = [];
    writer.append(1, record("one"), (outcome) => outcomes.push(outcome));
    await until(() => writer.pendingMessages === 1);
    await new Promise((resolve) => setTimeout(resolve, 2_100));
    expect(await append(1, encodeVoidEntry("stored", 1), messageId("stored", 1))).toEqual({ kind: "stored", sequence: 1, duplicate: true });
    lost = null;
    await writer.flushed();
    expect(outcomes).toEqual(["stored"]);
    expect(await texts(1)).toEqual(["one"]);
    writer.stop();
  });
});

describe("giving up", () => {
  it("is ambiguous when an answer was lost, and consumers go on either way", async () => {
    let lost: "before" | "after" | null = "before";
    const writer = new LogWriter({ bus: lossy(() => lost), origin: "given-up", partitions: 3, maxEntryBytes: 1000, commitsInFlight: 2, giveUpMs: 600 });
    const outcomes: AppendOutcome[] = [];
    writer.append(2, record("never sent"), (outcome) => outcomes.push(outcome));
    await until(() => outcomes.length === 1);
    lost = null;
    writer.append(2, record("between"), (outcome) => outcomes.push(outcome));
    await until(() => outcomes.length === 2);
    lost = "after";
    writer.append(2, record("there all the time"), (outcome) => outcomes.push(outcome));
    await until(() => outcomes.length === 3);
    lost = null;
    writer.append(2, record("last"), (outcome) => outcomes.push(outcome));
    await until(() => outcomes.length === 4);
    expect(outcomes).toEqual(["ambiguous", "stored", "ambiguous", "stored"]);
    expect(await texts(2)).toEqual(["between", "there all the time", "last"]);
    writer.stop();
  });
});

describe("a consumer", () => {
  it("does not wait for ever behind more held entries than it may have unfinished", async () => {
    for (let number = 2; number <= 40; number++) {
      await append(3, encodeLogEntry("held", number, [record(String(number))]), messageId("held", number));
    }
    const got: number[] = [];
    const reader = new LogConsumer({
      bus,
      name: "small",
      partition: 3,
      epoch: 1,
      isAlive: () => true,
      maxUnfinishedEntries: 4,
      onEntry: (entry, sequence) => {
        got.push(Number(entry.records[0]!.body));
        setImmediate(() => reader.done(sequence));
      },
      onFenced: () => undefined,
    });
    await reader.start();
    await append(3, encodeLogEntry("held", 1, [record("1")]), messageId("held", 1));
    await until(() => reader.lag.entries === 0 && got.length === 40);
    expect(got).toEqual(Array.from({ length: 40 }, (_, at) => at + 1));
    await reader.stop();
  });

  it("stops before an entry of a format it does not know, and passes over what is no entry", async () => {
    const problems: string[] = [];
    const got: string[] = [];
    const reader = new LogConsumer({
      bus,
      name: "versions",
      partition: 4,
      epoch: 1,
      isAlive: () => true,
      onEntry: (entry, sequence) => {
        got.push(entry.records[0]!.body.toString());
        reader.done(sequence);
      },
      onFenced: () => undefined,
      onProblem: (problem) => problems.push(problem),
    });
    await append(4, Buffer.from([1, 0, 200]), {});
    await append(4, encodeLogEntry("v", 1, [record("one")]), messageId("v", 1));
    const newer = encodeLogEntry("v", 2, [record("two")]);
    newer[0] = 99;
    await append(4, newer, messageId("v", 2));
    await append(4, encodeLogEntry("v", 3, [record("three")]), messageId("v", 3));
    await reader.start();
    await until(() => problems.length === 2);
    expect(problems[0]).toContain("log entry 1 cannot be read");
    expect(problems[1]).toContain("format version 99");
    expect(got).toEqual(["one"]);
    expect(reader.position).toBe(2);
    await reader.stop();
  });
});
