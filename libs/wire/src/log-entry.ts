/**
 * A log entry: what one group commit stores, one JetStream message for many publishes.
 *
 *   u8 version   u8 kind (0 records, 1 void)
 *   short text origin   u48 number      numbered 1, 2, 3 ... per (origin, partition): a consumer drops
 *                                       a number it has seen and holds back what comes after a gap
 *   u48 settled below                   every smaller number of this origin already stands in the log, as
 *                                       records or void: a consumer that begins here does not wait for them
 *   u8 count, then destination sets as text     each distinct set once per entry
 *   u16 count, then per record: u8 kind, u8 index of its destination set, u32 size
 *   the records' bytes, back to back
 *
 * A void entry takes a number its origin has given up: whichever of the two stands first in the
 * log counts, the other is dropped by every consumer.
 */
import { ByteReader, ByteWriter, WireFormatError } from "./bytes.ts";
import { FORMAT_VERSION, readFormatVersion } from "./version.ts";

/**
 * Where a record must arrive: the set is stamped when it is appended, and each kind of
 * destination is a consumer of its own. Build one per parent topic and reuse it: equal objects
 * are written once per entry.
 */
export interface DestinationSet {
  readonly instance: string;
  /** Ids of the outbound or status rules (RocketMQ). */
  readonly rules: readonly string[];
  /** Some persistent session may want it. */
  readonly inbox: boolean;
  /** Name of the actor service that takes it by the log, or null. */
  readonly actor: string | null;
}

export const RecordKind = {
  /** An envelope (envelope.ts). */
  publish: 1,
  /** A ready RocketMQ message (rocketmq-message.ts). */
  message: 2,
  /** A presence event (presence-event.ts). */
  presence: 3,
} as const;
export type RecordKind = (typeof RecordKind)[keyof typeof RecordKind];

export interface LogRecord {
  readonly kind: RecordKind;
  readonly destinations: DestinationSet;
  readonly body: Buffer;
}

export interface LogEntry {
  readonly kind: "records" | "void";
  readonly origin: string;
  readonly number: number;
  /** Numbers of the origin below this one stand earlier in the log; at most `number`. */
  readonly settledBelow: number;
  readonly records: readonly LogRecord[];
}

const MAX_SETS = 255;
/** Records an entry holds at most. */
export const ENTRY_MAX_RECORDS = 65_535;

/** @param settledBelow 1 = nothing is known */
export function encodeLogEntry(origin: string, number: number, records: readonly LogRecord[], settledBelow = 1): Buffer {
  const sets = new Map<DestinationSet, number>();
  const headers = new ByteWriter(records.length * 6 + 16).u16(records.length);
  let sizeBytes = 0;
  for (const record of records) {
    let index = sets.get(record.destinations);
    if (index === undefined) sets.set(record.destinations, (index = sets.size));
    headers.u8(record.kind).u8(index).u32(record.body.length);
    sizeBytes += record.body.length;
  }
  if (sets.size > MAX_SETS) throw new RangeError(`${sets.size} destination sets in one entry`);
  const head = new ByteWriter(64 + sets.size * 64).u8(FORMAT_VERSION).u8(0).shortText(origin).u48(number).u48(settledBelow).u8(sets.size);
  for (const set of sets.keys()) head.text(destinationText(set));
  const [first, second] = [head.finish(), headers.finish()];
  const entry = Buffer.allocUnsafe(first.length + second.length + sizeBytes);
  let at = first.copy(entry, 0);
  at += second.copy(entry, at);
  for (const record of records) at += record.body.copy(entry, at);
  return entry;
}

export function encodeVoidEntry(origin: string, number: number, settledBelow = 1): Buffer {
  return new ByteWriter(64).u8(FORMAT_VERSION).u8(1).shortText(origin).u48(number).u48(settledBelow).finish();
}

/** Bodies are views of `bytes`; destination sets are shared objects, equal sets are identical. @throws WireFormatError */
export function decodeLogEntry(bytes: Uint8Array): LogEntry {
  const reader = new ByteReader(bytes);
  readFormatVersion(reader, "log entry");
  const kind = reader.u8();
  const origin = reader.shortText();
  const number = reader.u48();
  const settledBelow = reader.u48();
  if (kind === 1) return { kind: "void", origin, number, settledBelow, records: [] };
  if (kind !== 0) throw new WireFormatError(`log entry: kind ${kind} is not known`);
  const sets: DestinationSet[] = [];
  for (let left = reader.u8(); left > 0; left--) sets.push(destinationSet(reader.text()));
  const count = reader.u16();
  const heads = new ByteReader(reader.bytes(count * 6));
  const records: LogRecord[] = [];
  for (let left = count; left > 0; left--) {
    const recordKind = heads.u8() as RecordKind;
    const destinations = sets[heads.u8()];
    if (!destinations) throw new WireFormatError("log entry: destination set missing");
    records.push({ kind: recordKind, destinations, body: reader.bytes(heads.u32()) });
  }
  return { kind: "records", origin, number, settledBelow, records };
}

const textOfSet = new WeakMap<DestinationSet, string>();
const setOfText = new Map<string, DestinationSet>();

function destinationText(set: DestinationSet): string {
  let text = textOfSet.get(set);
  if (text === undefined) {
    text = JSON.stringify([set.instance, set.rules, set.inbox ? 1 : 0, set.actor]);
    textOfSet.set(set, text);
  }
  return text;
}

function destinationSet(text: string): DestinationSet {
  const known = setOfText.get(text);
  if (known) return known;
  const [instance, rules, inbox, actor] = parseSet(text);
  const set: DestinationSet = Object.freeze({ instance, rules, inbox: inbox === 1, actor });
  if (setOfText.size >= 10_000) setOfText.clear();
  setOfText.set(text, set);
  return set;
}

function parseSet(text: string): [string, string[], number, string | null] {
  try {
    const parsed = JSON.parse(text) as [string, string[], number, string | null];
    if (Array.isArray(parsed) && typeof parsed[0] === "string" && Array.isArray(parsed[1])) return parsed;
  } catch {
    // told below
  }
  throw new WireFormatError("log entry: a destination set cannot be read");
}
