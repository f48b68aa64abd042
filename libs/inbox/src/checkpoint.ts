/**
 * The record of a shard's inbox: how far it is read, what still waits, for whom.
 *
 *   u8  version         u32 epoch of the owner that wrote it
 *   u48 read            sequence of the stream up to which every entry is matched
 *   u48 reserved        positions below it may have been given out: the next owner begins there, so
 *                       that an acknowledgement of a delivery it knows nothing of names no other message
 *   u48 trim            entries below it are wanted by nobody
 *   u8 count, per partition of the log: u8 partition, u48 highest log sequence seen
 *   varint count, per message: varint position, sequence (both as distance to the one before),
 *                       index in its entry, zigzag seconds of its time (distance)
 *   varint count, per session: short text token, u32 + u48 its birth, varint count, per message
 *                       that waits: varint (distance in the list above << 5 | flags), [identifiers]
 *
 * Written by compare-and-set, so an owner that was replaced cannot write it, nor trim.
 */
import { ByteReader, ByteWriter, FORMAT_VERSION, readFormatVersion, type Qos } from "@hawser/wire";
import type { Pending, StoredMessage } from "./session-queue.ts";

/** How many positions an owner reserves ahead: it stops reading rather than exceed them. */
export const CHECKPOINT_RESERVE = 1 << 20;

const RETAIN = 1 << 2;
const SENT = 1 << 3;
const IDENTIFIERS = 1 << 4;

export interface Checkpoint {
  readonly epoch: number;
  readonly readSequence: number;
  readonly reservedPosition: number;
  readonly trimSequence: number;
  readonly highWater: ReadonlyMap<number, number>;
  readonly messages: readonly CheckpointMessage[];
  readonly sessions: readonly CheckpointSession[];
}
export interface CheckpointMessage {
  readonly position: number;
  readonly sequence: number;
  readonly index: number;
  readonly publishedAtMs: number;
}
export interface CheckpointSession {
  readonly token: string;
  readonly bornEpoch: number;
  readonly bornCounter: number;
  readonly pending: readonly CheckpointPending[];
}
export interface CheckpointPending {
  /** Place in `messages`. */
  readonly message: number;
  readonly qos: Qos;
  readonly retain: boolean;
  readonly sent: boolean;
  readonly identifiers: readonly number[];
}

export interface CheckpointSource {
  readonly epoch: number;
  readonly readSequence: number;
  readonly reservedPosition: number;
  readonly trimSequence: number;
  readonly highWater: ReadonlyMap<number, number>;
  /** In order of their positions. */
  readonly messages: Iterable<StoredMessage>;
  readonly sessions: Iterable<{ token: string; bornEpoch: number; bornCounter: number; length: number; pending: Iterable<Pending> }>;
}

export function encodeCheckpoint(source: CheckpointSource): Buffer {
  const writer = new ByteWriter(4096)
    .u8(FORMAT_VERSION)
    .u32(source.epoch)
    .u48(source.readSequence)
    .u48(source.reservedPosition)
    .u48(source.trimSequence)
    .u8(source.highWater.size);
  for (const [partition, sequence] of source.highWater) writer.u8(partition).u48(sequence);
  const messages = [...source.messages];
  const places = new Map<StoredMessage, number>();
  let [position, sequence, seconds] = [0, 0, 0];
  varint(writer, messages.length);
  for (const message of messages) {
    places.set(message, places.size);
    const atSeconds = Math.floor(message.publishedAtMs / 1000);
    varint(writer, message.position - position);
    varint(writer, message.entry.sequence - sequence);
    varint(writer, message.index);
    varint(writer, atSeconds >= seconds ? (atSeconds - seconds) * 2 : (seconds - atSeconds) * 2 - 1);
    [position, sequence, seconds] = [message.position, message.entry.sequence, atSeconds];
  }
  const sessions = [...source.sessions];
  varint(writer, sessions.length);
  for (const session of sessions) {
    writer.shortText(session.token).u32(session.bornEpoch).u48(session.bornCounter);
    varint(writer, session.length);
    let before = 0;
    for (const pending of session.pending) {
      const place = places.get(pending.message)!;
      const flags = pending.qos | (pending.retain ? RETAIN : 0) | (pending.sent ? SENT : 0) | (pending.identifiers.length > 0 ? IDENTIFIERS : 0);
      varint(writer, (place - before) * 32 + flags);
      before = place;
      if (pending.identifiers.length === 0) continue;
      varint(writer, pending.identifiers.length);
      for (const identifier of pending.identifiers) varint(writer, identifier);
    }
  }
  return writer.finish();
}

/** @throws WireFormatError */
export function decodeCheckpoint(bytes: Uint8Array): Checkpoint {
  const reader = new ByteReader(bytes);
  readFormatVersion(reader, "positions");
  const [epoch, readSequence, reservedPosition, trimSequence] = [reader.u32(), reader.u48(), reader.u48(), reader.u48()];
  const highWater = new Map<number, number>();
  for (let left = reader.u8(); left > 0; left--) highWater.set(reader.u8(), reader.u48());
  const messages: CheckpointMessage[] = [];
  let [position, sequence, seconds] = [0, 0, 0];
  for (let left = readVarint(reader); left > 0; left--) {
    position += readVarint(reader);
    sequence += readVarint(reader);
    const index = readVarint(reader);
    const zigzag = readVarint(reader);
    seconds += zigzag % 2 === 0 ? zigzag / 2 : -(zigzag + 1) / 2;
    messages.push({ position, sequence, index, publishedAtMs: seconds * 1000 });
  }
  const sessions: CheckpointSession[] = [];
  for (let left = readVarint(reader); left > 0; left--) {
    const [token, bornEpoch, bornCounter] = [reader.shortText(), reader.u32(), reader.u48()];
    const pending: CheckpointPending[] = [];
    let place = 0;
    for (let more = readVarint(reader); more > 0; more--) {
      const word = readVarint(reader);
      const flags = word % 32;
      place += (word - flags) / 32;
      const identifiers: number[] = [];
      if (flags & IDENTIFIERS) for (let ids = readVarint(reader); ids > 0; ids--) identifiers.push(readVarint(reader));
      pending.push({ message: place, qos: (flags & 3) as Qos, retain: (flags & RETAIN) !== 0, sent: (flags & SENT) !== 0, identifiers });
    }
    sessions.push({ token, bornEpoch, bornCounter, pending });
  }
  return { epoch, readSequence, reservedPosition, trimSequence, highWater, messages, sessions };
}

function varint(writer: ByteWriter, value: number): void {
  while (value >= 0x80) {
    writer.u8((value % 0x80) | 0x80);
    value = Math.floor(value / 0x80);
  }
  writer.u8(value);
}

function readVarint(reader: ByteReader): number {
  let value = 0;
  for (let factor = 1; ; factor *= 0x80) {
    const byte = reader.u8();
    value += (byte & 0x7f) * factor;
    if (byte < 0x80) return value;
  }
}
