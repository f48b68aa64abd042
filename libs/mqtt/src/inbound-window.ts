/**
 * What a client sent and we have not acknowledged: QoS 1 and 2 PUBLISHes (and PUBRELs) of one
 * connection, in arrival order. They may be completed in any order; acknowledgements leave in the
 * order of arrival [MQTT-4.6.0-2] [MQTT-4.6.0-3], all that are ready of a tick in one buffer.
 *
 * The window tells when reading should stop (count or bytes at the limit) and when it may go on
 * (both at half). A slot is a running number, its data lies in a ring: no object per message.
 */
import type { InboundSlot } from "./types.ts";

/** First byte of the acknowledgement: PUBACK, PUBREC, PUBCOMP. */
export const ackKind = { puback: 0x40, pubrec: 0x50, pubcomp: 0x70 } as const;
export type AckKind = (typeof ackKind)[keyof typeof ackKind];

const PENDING = 0xff;

export interface InboundLimits {
  /** Infinity for MQTT 5, where Receive Maximum bounds it. */
  readonly maxMessages: number;
  readonly maxBytes: number;
}

/** What `drain` found. `failedPacketId`: 3.x cannot say no, the connection has to end; 0 = none. */
export interface DrainedAcks {
  readonly bytes: Buffer | null;
  readonly failed: boolean;
}

export interface DrainOptions {
  /** MQTT 5: reason codes are told. Else a code >= 0x80 ends the draining, `failed`. */
  readonly withReasonCodes: boolean;
  /** Called for each PUBREC with its code, each PUBCOMP, each PUBACK, when it leaves. */
  readonly onAck: (kind: AckKind, packetId: number, reasonCode: number) => void;
  /** MQTT 5: largest packet the client takes; a Reason String that does not fit is left out. */
  readonly maximumPacketBytes?: number;
}

const NONE: DrainedAcks = { bytes: null, failed: false };

export class InboundWindow {
  readonly #maxMessages: number;
  readonly #maxBytes: number;
  #mask = 7;
  #ids = new Uint16Array(8);
  #kinds = new Uint8Array(8);
  #codes = new Uint8Array(8);
  #sizes = new Uint32Array(8);
  #head = 1;
  #next = 1;
  #bytes = 0;
  #reasons: Map<InboundSlot, string> | null = null;

  constructor(limits: InboundLimits) {
    this.#maxMessages = limits.maxMessages;
    this.#maxBytes = limits.maxBytes;
  }

  get count(): number {
    return this.#next - this.#head;
  }

  get sizeBytes(): number {
    return this.#bytes;
  }

  get isFull(): boolean {
    return this.count >= this.#maxMessages || this.#bytes >= this.#maxBytes;
  }

  get isHalfEmpty(): boolean {
    return this.count <= this.#maxMessages / 2 && this.#bytes <= this.#maxBytes / 2;
  }

  /** Something at the head is completed and waits for `drain`. */
  get hasReady(): boolean {
    return this.#head < this.#next && this.#codes[this.#head & this.#mask] !== PENDING;
  }

  open(packetId: number, kind: AckKind, sizeBytes: number): InboundSlot {
    if (this.count > this.#mask) this.#grow();
    const slot = this.#next++;
    const at = slot & this.#mask;
    this.#ids[at] = packetId;
    this.#kinds[at] = kind;
    this.#codes[at] = PENDING;
    this.#sizes[at] = sizeBytes;
    this.#bytes += sizeBytes;
    return slot;
  }

  /** A slot that is unknown or already completed is ignored. @returns whether something can be drained */
  complete(slot: InboundSlot, reasonCode: number, reasonString?: string): boolean {
    const at = slot & this.#mask;
    if (slot < this.#head || slot >= this.#next || this.#codes[at] !== PENDING) return false;
    if (reasonCode < 0 || reasonCode >= PENDING) throw new RangeError(`reason code ${reasonCode}`);
    this.#codes[at] = reasonCode;
    if (reasonString !== undefined) (this.#reasons ??= new Map()).set(slot, reasonString);
    return slot === this.#head;
  }

  /** Takes the completed prefix. */
  drain(options: DrainOptions): DrainedAcks {
    if (!this.hasReady) return NONE;
    let ready = this.#head;
    let size = 0;
    let failed = false;
    for (; ready < this.#next; ready++) {
      const code = this.#codes[ready & this.#mask]!;
      if (code === PENDING) break;
      if (code >= 0x80 && !options.withReasonCodes) {
        failed = true;
        break;
      }
      size += this.#ackBytes(ready, code, options);
    }
    const bytes = size === 0 ? null : Buffer.allocUnsafe(size);
    let to = 0;
    for (; this.#head < ready; this.#head++) {
      const at = this.#head & this.#mask;
      to = this.#writeAck(bytes!, to, this.#head, options);
      this.#bytes -= this.#sizes[at]!;
      options.onAck(this.#kinds[at] as AckKind, this.#ids[at]!, this.#codes[at]!);
    }
    return { bytes, failed };
  }

  #reasonOf(slot: InboundSlot, options: DrainOptions): Buffer | null {
    if (this.#reasons === null || !options.withReasonCodes) return null;
    const text = this.#reasons.get(slot);
    if (text === undefined) return null;
    const bytes = Buffer.from(text);
    const limit = options.maximumPacketBytes || Number.POSITIVE_INFINITY;
    // one byte of remaining length and of property length is enough for any sensible text
    return bytes.length > 100 || bytes.length + 9 > limit ? null : bytes;
  }

  #ackBytes(slot: InboundSlot, code: number, options: DrainOptions): number {
    const reason = this.#reasonOf(slot, options);
    return reason ? reason.length + 9 : code === 0 || !options.withReasonCodes ? 4 : 5;
  }

  #writeAck(target: Buffer, to: number, slot: InboundSlot, options: DrainOptions): number {
    const at = slot & this.#mask;
    const code = this.#codes[at]!;
    const id = this.#ids[at]!;
    const reason = this.#reasonOf(slot, options);
    target[to] = this.#kinds[at]!;
    target[to + 1] = 2;
    target[to + 2] = id >>> 8;
    target[to + 3] = id & 0xff;
    if (reason) {
      target[to + 1] = reason.length + 7;
      target[to + 4] = code;
      target[to + 5] = reason.length + 3;
      target[to + 6] = 0x1f;
      target.writeUInt16BE(reason.length, to + 7);
      reason.copy(target, to + 9);
      this.#reasons!.delete(slot);
      return to + 9 + reason.length;
    }
    this.#reasons?.delete(slot);
    if (code === 0 || !options.withReasonCodes) return to + 4;
    target[to + 1] = 3;
    target[to + 4] = code;
    return to + 5;
  }

  #grow(): void {
    const size = (this.#mask + 1) * 2;
    const mask = size - 1;
    const ids = new Uint16Array(size);
    const kinds = new Uint8Array(size);
    const codes = new Uint8Array(size);
    const sizes = new Uint32Array(size);
    for (let slot = this.#head; slot < this.#next; slot++) {
      const from = slot & this.#mask;
      const to = slot & mask;
      ids[to] = this.#ids[from]!;
      kinds[to] = this.#kinds[from]!;
      codes[to] = this.#codes[from]!;
      sizes[to] = this.#sizes[from]!;
    }
    this.#mask = mask;
    this.#ids = ids;
    this.#kinds = kinds;
    this.#codes = codes;
    this.#sizes = sizes;
  }
}
