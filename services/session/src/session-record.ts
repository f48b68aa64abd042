/**
 * The record of a persistent session (the actor host writes version, epoch and Client ID before it):
 *
 *   u8 version   u32 + u48 birth   u32 expiry seconds   u48 offline since (0: connected)
 *   u32 + u48 newest connection sequence
 *   u8 connected, then short text ingress, u48 connection, u8 level, short text address,
 *      short text channel, u48 since: so that the next owner can say that it is gone
 *   u16 count, per subscription: text filter, u8 QoS and options, u32 identifier
 */
import { ByteReader, ByteWriter, FORMAT_VERSION, readFormatVersion, type StoredSubscription } from "@hawser/wire";
import { emptyState, sequenceText, type Connection, type SessionState } from "./session-state.ts";

const NO_LOCAL = 1 << 2;
const RETAIN_AS_PUBLISHED = 1 << 3;

export function encodeSessionRecord(state: SessionState): Buffer {
  const session = state.session!;
  const { connection } = state;
  const writer = new ByteWriter(256)
    .u8(FORMAT_VERSION)
    .u32(session.born.epoch)
    .u48(session.born.counter)
    .u32(session.expirySeconds)
    .u48(session.offlineSinceMs ?? 0)
    .u32(state.last.epoch)
    .u48(state.last.counter)
    .u8(connection ? 1 : 0);
  if (connection) {
    writer
      .u32(connection.epoch)
      .u48(connection.counter)
      .shortText(connection.ingress)
      .u48(connection.connection)
      .u8(connection.level)
      .shortText(connection.clientIp)
      .shortText(connection.channelId)
      .u48(connection.sinceMs);
  }
  writer.u16(session.subscriptions.size);
  for (const { filter, qos, noLocal, retainAsPublished, identifier } of session.subscriptions.values()) {
    writer.text(filter).u8(qos | (noLocal ? NO_LOCAL : 0) | (retainAsPublished ? RETAIN_AS_PUBLISHED : 0)).u32(identifier);
  }
  return writer.finish();
}

/** The state a new owner begins with: its connection is unconfirmed until an ingress lists it. @throws WireFormatError */
export function decodeSessionRecord(instance: string, clientId: string, bytes: Uint8Array): SessionState {
  const reader = new ByteReader(bytes);
  readFormatVersion(reader, "session record");
  const born = { epoch: reader.u32(), counter: reader.u48() };
  const expirySeconds = reader.u32();
  const offlineSinceMs = reader.u48();
  const last = { epoch: reader.u32(), counter: reader.u48() };
  let connection: Connection | null = null;
  if (reader.u8() === 1) {
    const order = { epoch: reader.u32(), counter: reader.u48() };
    connection = {
      ...order,
      sequence: sequenceText(order),
      ingress: reader.shortText(),
      connection: reader.u48(),
      level: reader.u8(),
      clientIp: reader.shortText(),
      channelId: reader.shortText(),
      sinceMs: reader.u48(),
    };
  }
  const subscriptions = new Map<string, StoredSubscription>();
  for (let left = reader.u16(); left > 0; left--) {
    const filter = reader.text();
    const flags = reader.u8();
    const subscription: StoredSubscription = {
      filter,
      qos: (flags & 3) as 0 | 1 | 2,
      noLocal: (flags & NO_LOCAL) !== 0,
      retainAsPublished: (flags & RETAIN_AS_PUBLISHED) !== 0,
      identifier: reader.u32(),
    };
    subscriptions.set(filter, subscription);
  }
  return {
    ...emptyState(instance, clientId),
    session: { born, expirySeconds, stored: true, offlineSinceMs: connection ? null : offlineSinceMs, subscriptions },
    connection,
    confirmed: connection === null,
    last,
    recordExists: true,
  };
}
