/**
 * Orders of a session owner to one ingress, on `i.<member>`, as frames.
 */
import { ByteReader, ByteWriter } from "./bytes.ts";
import type { Qos } from "./envelope.ts";

export const IngressVerb = {
  /** head CloseOrder -> Answer, sent when the connection is gone and its appends are resolved. */
  close: 1,
  /** body Delivery -> Answer when requested (P2P: handed over), nothing when published (inbox). */
  deliver: 2,
  /** head {shard, epoch} -> nothing: send the attach list of this shard. */
  list: 3,
} as const;

export interface CloseOrder {
  readonly connection: number;
  /** `takeover` is 0x8E on MQTT 5, `kicked` 0x98, `session-lost` 0x8B; 3.x just closes. */
  readonly reason: "takeover" | "kicked" | "session-lost";
}

/** One envelope for connections of one ingress. */
export interface Delivery {
  readonly receivers: readonly DeliveryReceiver[];
  /** Where the receipt of a P2P message goes, or empty. */
  readonly receiptTo: string;
  readonly token: string;
  readonly envelope: Buffer;
}

export interface DeliveryReceiver {
  readonly connection: number;
  /** The connection sequence the owner knows; an ingress drops what is not for the current one. */
  readonly sequence: string;
  /** Position in the session's inbox, given back in acks; 0 = not from the inbox. */
  readonly position: number;
  readonly qos: Qos;
  readonly redelivery: boolean;
  readonly retain: boolean;
  readonly identifiers: readonly number[];
}

const REDELIVERY = 1 << 2;
const RETAIN = 1 << 3;

export function encodeDelivery(delivery: Delivery): Buffer {
  const writer = new ByteWriter(64 + delivery.receivers.length * 32 + delivery.envelope.length)
    .shortText(delivery.receiptTo)
    .shortText(delivery.token)
    .u16(delivery.receivers.length);
  for (const receiver of delivery.receivers) {
    writer
      .u48(receiver.connection)
      .shortText(receiver.sequence)
      .u48(receiver.position)
      .u8(receiver.qos | (receiver.redelivery ? REDELIVERY : 0) | (receiver.retain ? RETAIN : 0))
      .u8(receiver.identifiers.length);
    for (const identifier of receiver.identifiers) writer.u32(identifier);
  }
  return writer.bytes(delivery.envelope).finish();
}

/** @throws WireFormatError */
export function decodeDelivery(body: Uint8Array): Delivery {
  const reader = new ByteReader(body);
  const receiptTo = reader.shortText();
  const token = reader.shortText();
  const receivers: DeliveryReceiver[] = [];
  for (let left = reader.u16(); left > 0; left--) {
    const connection = reader.u48();
    const sequence = reader.shortText();
    const position = reader.u48();
    const flags = reader.u8();
    const identifiers: number[] = [];
    for (let more = reader.u8(); more > 0; more--) identifiers.push(reader.u32());
    receivers.push({
      connection,
      sequence,
      position,
      qos: (flags & 3) as Qos,
      redelivery: (flags & REDELIVERY) !== 0,
      retain: (flags & RETAIN) !== 0,
      identifiers,
    });
  }
  return { receiptTo, token, receivers, envelope: reader.rest() };
}
