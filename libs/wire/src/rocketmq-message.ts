/**
 * A ready RocketMQ message as a log record: replies and events of actors, which know their topic.
 * The router sends it as it stands.
 */
import { ByteReader, ByteWriter } from "./bytes.ts";
import { FORMAT_VERSION, readFormatVersion } from "./version.ts";

export interface RocketMqMessage {
  /** Name of the RocketMQ cluster, `default` unless the instance names another. */
  readonly cluster: string;
  readonly topic: string;
  readonly tag: string;
  readonly keys: readonly string[];
  /** Message group of a FIFO topic, or empty. */
  readonly group: string;
  readonly properties: readonly (readonly [key: string, value: string])[];
  readonly body: Buffer;
}

export function encodeRocketMqMessage(message: RocketMqMessage): Buffer {
  const writer = new ByteWriter(256 + message.body.length)
    .u8(FORMAT_VERSION)
    .shortText(message.cluster)
    .shortText(message.topic)
    .shortText(message.tag)
    .shortText(message.group)
    .u8(message.keys.length);
  for (const key of message.keys) writer.text(key);
  writer.u16(message.properties.length);
  for (const [key, value] of message.properties) writer.text(key).text(value);
  return writer.bytes(message.body).finish();
}

/** @throws WireFormatError */
export function decodeRocketMqMessage(bytes: Uint8Array): RocketMqMessage {
  const reader = new ByteReader(bytes);
  readFormatVersion(reader, "RocketMQ message");
  const cluster = reader.shortText();
  const topic = reader.shortText();
  const tag = reader.shortText();
  const group = reader.shortText();
  const keys: string[] = [];
  for (let left = reader.u8(); left > 0; left--) keys.push(reader.text());
  const properties: [string, string][] = [];
  for (let left = reader.u16(); left > 0; left--) properties.push([reader.text(), reader.text()]);
  return { cluster, topic, tag, keys, group, properties, body: reader.rest() };
}
