/**
 * Bytes to packets: fixed header and remaining length (MQTT 5, 2.1; 3.1.1, 2.2). Everything that
 * can be known from the header is enforced before a byte of the body is kept: the first packet is
 * a CONNECT, and no packet is larger than the limit. A packet that lies within one chunk is handed
 * on as a view of it; only a packet split over chunks is copied, into memory that grows with what
 * has really arrived.
 *
 * The consumer may stop the framer (return false): what was read stays here until `resume`. So a
 * full window or a CONNECT that waits for its answer holds at most one chunk, besides what the
 * paused socket still delivers.
 */

/** `not-connect`: the first packet is another one. `malformed-length`: a fifth length byte. `too-large`: above the limit. */
export type FramingProblem = "not-connect" | "malformed-length" | "too-large";

export interface FramerLimits {
  /** Fixed header included. */
  readonly maxPacketBytes: number;
  /** The same until `connected` is called. */
  readonly maxBeforeConnectBytes: number;
}

/**
 * @param bytes the whole packet, fixed header included; a view, valid as long as it is referenced
 * @returns false to stop behind this packet
 */
export type PacketSink = (firstByte: number, bytes: Buffer, bodyOffset: number) => boolean | void;

const CONNECT = 1;
const FIRST_GROWTH_BYTES = 1024;

export class PacketFramer {
  readonly #maxPacketBytes: number;
  #limitBytes: number;
  /** Head of a packet whose rest is still to come. */
  #partial: Buffer | null = null;
  #partialBytes = 0;
  /** Whole size of that packet, 0 while its header is incomplete. */
  #partialTotal = 0;
  #partialBody = 0;
  /** Bytes read but not yet looked at, because the consumer stopped. */
  #held: Buffer | null = null;
  #isFirst = true;
  #stopped = false;
  #running = false;
  #dead = false;

  constructor(limits: FramerLimits) {
    this.#maxPacketBytes = limits.maxPacketBytes;
    this.#limitBytes = Math.min(limits.maxBeforeConnectBytes, limits.maxPacketBytes);
  }

  /** CONNECT was accepted: from here on maxPacketBytes holds. */
  connected(): void {
    this.#limitBytes = this.#maxPacketBytes;
  }

  /** Bytes kept here: of a packet that is not complete, or behind a stop. */
  get bufferedBytes(): number {
    return this.#partialBytes + (this.#held?.length ?? 0);
  }

  get isStopped(): boolean {
    return this.#stopped;
  }

  /** Drops everything; later chunks are ignored. */
  kill(): void {
    this.#dead = true;
    this.#partial = null;
    this.#partialBytes = 0;
    this.#held = null;
  }

  /** Nothing is handed on until `resume`; the same as a sink that returns false. */
  stop(): void {
    this.#stopped = true;
  }

  /** @returns a problem once; afterwards the framer stays dead */
  push(chunk: Buffer, onPacket: PacketSink): FramingProblem | null {
    if (this.#dead) return null;
    if (this.#stopped || this.#running) {
      this.#held = this.#held === null ? chunk : Buffer.concat([this.#held, chunk]);
      return null;
    }
    return this.#run(chunk, onPacket);
  }

  /** Goes on with what was held. */
  resume(onPacket: PacketSink): FramingProblem | null {
    this.#stopped = false;
    if (this.#running || this.#dead || this.#held === null) return null;
    const held = this.#held;
    this.#held = null;
    return this.#run(held, onPacket);
  }

  #run(first: Buffer, onPacket: PacketSink): FramingProblem | null {
    this.#running = true;
    try {
      let chunk = first;
      for (;;) {
        const rest = this.#consume(chunk, onPacket);
        if (typeof rest === "string") {
          this.kill();
          return rest;
        }
        if (this.#dead) return null;
        if (rest < chunk.length) {
          // stopped in the middle; what came in meanwhile lies behind
          const left = chunk.subarray(rest);
          this.#held = this.#held === null ? left : Buffer.concat([left, this.#held]);
        }
        if (this.#stopped || this.#held === null) return null;
        chunk = this.#held;
        this.#held = null;
      }
    } finally {
      this.#running = false;
    }
  }

  /** @returns how much of the chunk is used up */
  #consume(chunk: Buffer, onPacket: PacketSink): number | FramingProblem {
    let at = 0;
    if (this.#partial !== null) {
      const used = this.#completePartial(chunk, onPacket);
      if (typeof used === "string") return used;
      at = used;
    }
    while (at < chunk.length && !this.#stopped && !this.#dead) {
      const first = chunk[at]!;
      if (this.#isFirst && first >>> 4 !== CONNECT) return "not-connect";
      let body = at + 1;
      let remaining = 0;
      let unit = 1;
      let complete = false;
      while (body < chunk.length) {
        const byte = chunk[body++]!;
        remaining += (byte & 0x7f) * unit;
        if (byte < 0x80) {
          complete = true;
          break;
        }
        if (body - at === 5) return "malformed-length";
        unit *= 0x80;
      }
      const total = body - at + remaining;
      if (complete && total > this.#limitBytes) return "too-large";
      if (!complete || at + total > chunk.length) {
        this.#keep(chunk.subarray(at), complete ? total : 0, body - at);
        return chunk.length;
      }
      this.#isFirst = false;
      const end = at + total;
      const bytes = at === 0 && end === chunk.length ? chunk : chunk.subarray(at, end);
      const bodyOffset = body - at;
      at = end;
      if (onPacket(first, bytes, bodyOffset) === false) this.#stopped = true;
    }
    return at;
  }

  #keep(head: Buffer, total: number, bodyOffset: number): void {
    const capacity = total === 0 ? 8 : Math.min(total, Math.max(head.length * 2, FIRST_GROWTH_BYTES));
    this.#partial = Buffer.allocUnsafe(Math.max(capacity, head.length));
    head.copy(this.#partial);
    this.#partialBytes = head.length;
    this.#partialTotal = total;
    this.#partialBody = bodyOffset;
  }

  #completePartial(chunk: Buffer, onPacket: PacketSink): number | FramingProblem {
    let at = 0;
    while (this.#partialTotal === 0) {
      if (at === chunk.length) return at;
      const byte = chunk[at++]!;
      this.#partial![this.#partialBytes++] = byte;
      if (byte >= 0x80) {
        if (this.#partialBytes === 5) return "malformed-length";
        continue;
      }
      let remaining = 0;
      for (let i = this.#partialBytes - 1; i > 0; i--) remaining = remaining * 0x80 + (this.#partial![i]! & 0x7f);
      this.#partialBody = this.#partialBytes;
      this.#partialTotal = this.#partialBytes + remaining;
      if (this.#partialTotal > this.#limitBytes) return "too-large";
    }
    const take = Math.min(this.#partialTotal - this.#partialBytes, chunk.length - at);
    const have = this.#partialBytes + take;
    if (have > this.#partial!.length) {
      const grown = Buffer.allocUnsafe(Math.min(this.#partialTotal, Math.max(have, this.#partial!.length * 2, FIRST_GROWTH_BYTES)));
      this.#partial!.copy(grown, 0, 0, this.#partialBytes);
      this.#partial = grown;
    }
    chunk.copy(this.#partial!, this.#partialBytes, at, at + take);
    this.#partialBytes = have;
    at += take;
    if (have < this.#partialTotal) return at;
    const bytes = this.#partial!.subarray(0, have);
    this.#partial = null;
    this.#partialBytes = 0;
    this.#isFirst = false;
    if (onPacket(bytes[0]!, bytes, this.#partialBody) === false) this.#stopped = true;
    return at;
  }
}
