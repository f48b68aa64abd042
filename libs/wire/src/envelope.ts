/**
 * The envelope: one MQTT message inside Hawser. The ingress (or the router, for a message of
 * RocketMQ) encodes it once; the same bytes travel live on `m.`, in a log entry, in an inbox
 * entry and to the ingress that delivers.
 *
 *   u8  version        u8 flags: bits 0-1 QoS, 2 retain, 3 trace, 4 properties, 5 target,
 *                    6 persistent
 *   u48 sequence       counts up per origin: with the origin it names the message, and it lets a
 *                      process that holds overlapping interests drop the later copies
 *   u48 publishedAtMs
 *   short text origin  member that made the envelope
 *   short text sender  Client ID of the publisher, empty when the message came from RocketMQ
 *   text topic         the topic the receiver sees
 *   [text target]      P2P: Client ID of the receiver
 *   [25 bytes trace]   W3C trace context, only when sampled
 *   [u16 + properties] MQTT 5 properties that are forwarded, as they stand on the wire
 *   payload            the rest
 */
import { ByteReader, ByteWriter, WireFormatError } from "./bytes.ts";
import { TRACE_CONTEXT_BYTES } from "./trace-context.ts";
import { FORMAT_VERSION, readFormatVersion } from "./version.ts";

export type Qos = 0 | 1 | 2;

export interface Envelope {
  readonly origin: string;
  readonly sequence: number;
  readonly publishedAtMs: number;
  readonly qos: Qos;
  readonly retain: boolean;
  readonly sender: string;
  /** The sender's session outlives its connection: what `cleansessionflag` is made of on the way to RocketMQ. */
  readonly persistent: boolean;
  readonly topic: string;
  readonly target: string | null;
  /** 25 bytes, see trace-context.ts. */
  readonly trace: Buffer | null;
  /** MQTT 5 property block without its length, in the publisher's order [MQTT-3.3.2-18]. */
  readonly properties: Buffer | null;
  readonly payload: Buffer;
}

const RETAIN = 1 << 2;
const TRACE = 1 << 3;
const PROPERTIES = 1 << 4;
const TARGET = 1 << 5;
const PERSISTENT = 1 << 6;

export function encodeEnvelope(envelope: Envelope): Buffer {
  const writer = new ByteWriter(96 + envelope.topic.length * 2 + envelope.payload.length + (envelope.properties?.length ?? 0));
  writer
    .u8(FORMAT_VERSION)
    .u8(
      envelope.qos |
        (envelope.retain ? RETAIN : 0) |
        (envelope.trace ? TRACE : 0) |
        (envelope.properties ? PROPERTIES : 0) |
        (envelope.target !== null ? TARGET : 0) |
        (envelope.persistent ? PERSISTENT : 0),
    )
    .u48(envelope.sequence)
    .u48(envelope.publishedAtMs)
    .shortText(envelope.origin)
    .shortText(envelope.sender)
    .text(envelope.topic);
  if (envelope.target !== null) writer.shortText(envelope.target);
  if (envelope.trace) writer.bytes(envelope.trace.subarray(0, TRACE_CONTEXT_BYTES));
  if (envelope.properties) writer.u16(envelope.properties.length).bytes(envelope.properties);
  return writer.bytes(envelope.payload).finish();
}

/** Buffers of the result are views of `bytes`. @throws WireFormatError */
export function decodeEnvelope(bytes: Uint8Array): Envelope {
  const reader = new ByteReader(bytes);
  readFormatVersion(reader, "envelope");
  const flags = reader.u8();
  if ((flags & 3) === 3) throw new WireFormatError("envelope: QoS 3");
  const sequence = reader.u48();
  const publishedAtMs = reader.u48();
  const origin = reader.shortText();
  const sender = reader.shortText();
  const topic = reader.text();
  const target = flags & TARGET ? reader.shortText() : null;
  const trace = flags & TRACE ? reader.bytes(TRACE_CONTEXT_BYTES) : null;
  const properties = flags & PROPERTIES ? reader.bytes(reader.u16()) : null;
  return {
    origin,
    sequence,
    publishedAtMs,
    qos: (flags & 3) as Qos,
    retain: (flags & RETAIN) !== 0,
    sender,
    persistent: (flags & PERSISTENT) !== 0,
    topic,
    target,
    trace,
    properties,
    payload: reader.rest(),
  };
}
