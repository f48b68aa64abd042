/**
 * A PUBLISH on its way to many clients, encoded once per shape: MQTT 5 or not, QoS 0 or not,
 * retain or not. QoS 0 hands the same bytes to everybody. QoS 1 and 2 copy and patch the packet id;
 * a large payload is not copied but follows its header as a second buffer, the same for all.
 *
 * A Message Expiry Interval is counted down to what is left when it is sent [MQTT-3.3.2-6].
 */
import { writeVariableLength, variableLengthBytes } from "./codec/variable-length.ts";
import { propertyOffset } from "./codec/properties.ts";
import { propertyId } from "./codec/property-table.ts";
import type { ProtocolLevel, Qos } from "./types.ts";

/** From here on a QoS 1 or 2 payload is shared instead of copied. */
export const SHARED_PAYLOAD_BYTES = 2048;

export interface OutgoingPublishFields {
  readonly topic: string;
  /** Kept, not copied: must not change. */
  readonly payload: Buffer;
  /** Forwardable property block without its length (see forwardableProperties), or null. */
  readonly properties: Buffer | null;
  /** When the expiry interval began to count; absent = it is passed on as it is. */
  readonly receivedAtMs?: number;
}

const NO_IDENTIFIERS: readonly number[] = [];
const WITH_IDENTIFIERS = 8;

export class OutgoingPublish {
  readonly topic: string;
  readonly payload: Buffer;
  readonly #topicBytes: Buffer;
  #properties: Buffer | null;
  readonly #receivedAtMs: number;
  readonly #expirySeconds: number;
  #expiryAt = -1;
  #elapsedSeconds = 0;
  /** Index: 1 retain, 2 QoS above 0, 4 MQTT 5, 8 with the identifiers of #identifiers. */
  #templates: (Buffer | undefined)[] = [];
  #identifiers: readonly number[] = NO_IDENTIFIERS;

  /** @throws RangeError when the topic is longer than 65,535 bytes */
  constructor(fields: OutgoingPublishFields) {
    this.topic = fields.topic;
    this.payload = fields.payload;
    this.#topicBytes = Buffer.from(fields.topic);
    if (this.#topicBytes.length > 0xffff) throw new RangeError("topic is longer than 65,535 bytes");
    this.#properties = fields.properties !== null && fields.properties.length > 0 ? fields.properties : null;
    this.#receivedAtMs = fields.receivedAtMs ?? -1;
    const at = this.#properties !== null ? propertyOffset(this.#properties, propertyId.messageExpiryInterval) : -1;
    this.#expirySeconds = at < 0 ? -1 : this.#properties!.readUInt32BE(at + 1);
    this.#expiryAt = this.#receivedAtMs < 0 ? -1 : at;
  }

  /** Whether `countDown` has to be called before it is sent. */
  get expires(): boolean {
    return this.#expiryAt >= 0;
  }

  /** Sets the expiry interval to what is left. @returns false when nothing is left [MQTT-3.3.2-5] */
  countDown(nowMs: number): boolean {
    if (this.#expiryAt < 0) return true;
    const elapsed = Math.max(0, Math.floor((nowMs - this.#receivedAtMs) / 1000));
    if (elapsed >= this.#expirySeconds) return false;
    if (elapsed !== this.#elapsedSeconds) {
      this.#elapsedSeconds = elapsed;
      this.#properties = Buffer.from(this.#properties!);
      this.#properties.writeUInt32BE(this.#expirySeconds - elapsed, this.#expiryAt + 1);
      this.#templates = [];
    }
    return true;
  }

  /** Bytes of the packet, fixed header included. */
  sizeFor(level: ProtocolLevel, qos: Qos, identifiers: readonly number[] | null = null): number {
    const remaining = this.#remaining(level === 5, qos > 0, identifiers ?? NO_IDENTIFIERS);
    return 1 + variableLengthBytes(remaining) + remaining;
  }

  /**
   * The packet. QoS 0: always the same buffer for the same shape, not to be changed.
   * @param packetId 1..65,535 for QoS 1 and 2, ignored for QoS 0
   * @returns one buffer, or the header and the shared payload
   */
  bytesFor(level: ProtocolLevel, qos: Qos, packetId: number, dup: boolean, retain: boolean, identifiers: readonly number[] | null = null): Buffer | [header: Buffer, payload: Buffer] {
    const isMqtt5 = level === 5;
    const withIdentifiers = isMqtt5 && identifiers !== null && identifiers.length > 0;
    const shape = (retain ? 1 : 0) | (qos > 0 ? 2 : 0) | (isMqtt5 ? 4 : 0) | (withIdentifiers ? WITH_IDENTIFIERS : 0);
    if (withIdentifiers && !sameNumbers(identifiers, this.#identifiers)) {
      this.#templates.length = Math.min(this.#templates.length, WITH_IDENTIFIERS);
      this.#identifiers = identifiers.slice();
    }
    const template = (this.#templates[shape] ??= this.#encode(isMqtt5, qos > 0, retain, withIdentifiers ? identifiers : NO_IDENTIFIERS));
    if (qos === 0) return template;
    const bytes = Buffer.allocUnsafe(template.length);
    template.copy(bytes);
    bytes[0] = 0x30 | (dup ? 0x08 : 0) | (qos << 1) | (retain ? 0x01 : 0);
    // the id stands behind the topic; the remaining length has as many bytes as do not end it
    let at = 2;
    while (bytes[at - 1]! >= 0x80) at++;
    at += 2 + this.#topicBytes.length;
    bytes[at] = packetId >>> 8;
    bytes[at + 1] = packetId & 0xff;
    return this.payload.length > SHARED_PAYLOAD_BYTES ? [bytes, this.payload] : bytes;
  }

  #propertyBytes(identifiers: readonly number[]): number {
    let size = this.#properties?.length ?? 0;
    for (let i = 0; i < identifiers.length; i++) size += 1 + variableLengthBytes(identifiers[i]!);
    return size;
  }

  #remaining(isMqtt5: boolean, hasId: boolean, identifiers: readonly number[]): number {
    let size = 2 + this.#topicBytes.length + (hasId ? 2 : 0) + this.payload.length;
    if (isMqtt5) {
      const propertyBytes = this.#propertyBytes(identifiers);
      size += variableLengthBytes(propertyBytes) + propertyBytes;
    }
    return size;
  }

  /** The whole packet, or without its payload when that is shared; packet id 0. */
  #encode(isMqtt5: boolean, hasId: boolean, retain: boolean, identifiers: readonly number[]): Buffer {
    const remaining = this.#remaining(isMqtt5, hasId, identifiers);
    const shared = hasId && this.payload.length > SHARED_PAYLOAD_BYTES;
    const bytes = Buffer.allocUnsafe(1 + variableLengthBytes(remaining) + remaining - (shared ? this.payload.length : 0));
    bytes[0] = 0x30 | (retain ? 1 : 0);
    let at = writeVariableLength(bytes, 1, remaining);
    at = bytes.writeUInt16BE(this.#topicBytes.length, at);
    at += this.#topicBytes.copy(bytes, at);
    if (hasId) at = bytes.writeUInt16BE(0, at);
    if (isMqtt5) {
      at = writeVariableLength(bytes, at, this.#propertyBytes(identifiers));
      if (this.#properties) at += this.#properties.copy(bytes, at);
      for (let i = 0; i < identifiers.length; i++) {
        bytes[at++] = propertyId.subscriptionIdentifier;
        at = writeVariableLength(bytes, at, identifiers[i]!);
      }
    }
    if (!shared) this.payload.copy(bytes, at);
    return bytes;
  }
}

function sameNumbers(a: readonly number[], b: readonly number[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
