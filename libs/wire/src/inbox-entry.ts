/**
 * An inbox entry on `q.<shard>`: the messages of one log entry (or one stored P2P message) that
 * some persistent session of the shard may want, each payload once. The owner matches exactly.
 *
 *   u8 version   u8 partition (255: stored by the owner itself)   u48 log sequence (0: none)
 *   u8 count, then instances as short text
 *   u16 count, then per message: u8 index of its instance, u32 size
 *   the envelopes, back to back
 *
 * The owner keeps the highest log sequence per partition, so that a redone append is dropped.
 */
import { ByteReader, ByteWriter, WireFormatError } from "./bytes.ts";
import { FORMAT_VERSION, readFormatVersion } from "./version.ts";

export const OWN_PARTITION = 255;

export interface InboxMessage {
  readonly instance: string;
  /** An encoded envelope. */
  readonly envelope: Buffer;
}

export interface InboxEntry {
  readonly partition: number;
  readonly logSequence: number;
  readonly messages: readonly InboxMessage[];
}

export function encodeInboxEntry(entry: InboxEntry): Buffer {
  const instances = [...new Set(entry.messages.map((message) => message.instance))];
  if (instances.length > 255) throw new RangeError(`${instances.length} instances in one inbox entry`);
  const writer = new ByteWriter(64 + entry.messages.reduce((sum, message) => sum + message.envelope.length + 5, 0))
    .u8(FORMAT_VERSION)
    .u8(entry.partition)
    .u48(entry.logSequence)
    .u8(instances.length);
  for (const instance of instances) writer.shortText(instance);
  writer.u16(entry.messages.length);
  for (const message of entry.messages) writer.u8(instances.indexOf(message.instance)).u32(message.envelope.length);
  for (const message of entry.messages) writer.bytes(message.envelope);
  return writer.finish();
}

/** Envelopes are views of `bytes`. @throws WireFormatError */
export function decodeInboxEntry(bytes: Uint8Array): InboxEntry {
  const reader = new ByteReader(bytes);
  readFormatVersion(reader, "inbox entry");
  const partition = reader.u8();
  const logSequence = reader.u48();
  const instances: string[] = [];
  for (let left = reader.u8(); left > 0; left--) instances.push(reader.shortText());
  const count = reader.u16();
  const heads = new ByteReader(reader.bytes(count * 5));
  const messages: InboxMessage[] = [];
  for (let left = count; left > 0; left--) {
    const instance = instances[heads.u8()];
    if (instance === undefined) throw new WireFormatError("inbox entry: instance missing");
    messages.push({ instance, envelope: reader.bytes(heads.u32()) });
  }
  return { partition, logSequence, messages };
}
