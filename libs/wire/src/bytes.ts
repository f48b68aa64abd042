/**
 * Reading and writing the binary forms of this library: big-endian numbers and length-prefixed
 * UTF-8. A writer grows one buffer; a reader returns views, it copies nothing.
 */

/** What a decoder throws when bytes are not what their format says. */
export class WireFormatError extends Error {
  override readonly name = "WireFormatError";
}

const SHORT_TEXT_LENGTH = 64;

export class ByteWriter {
  #buffer: Buffer;
  #length = 0;

  constructor(sizeBytes = 256) {
    this.#buffer = Buffer.allocUnsafe(sizeBytes);
  }

  #reserve(sizeBytes: number): number {
    const at = this.#length;
    this.#length = at + sizeBytes;
    if (this.#length > this.#buffer.length) {
      const grown = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#length));
      this.#buffer.copy(grown, 0, 0, at);
      this.#buffer = grown;
    }
    return at;
  }

  u8(value: number): this {
    const at = this.#reserve(1);
    this.#buffer[at] = value;
    return this;
  }

  u16(value: number): this {
    const at = this.#reserve(2);
    this.#buffer.writeUInt16BE(value, at);
    return this;
  }

  u32(value: number): this {
    const at = this.#reserve(4);
    this.#buffer.writeUInt32BE(value, at);
    return this;
  }

  /** 0 .. 2^48-1: milliseconds, sequences. */
  u48(value: number): this {
    const at = this.#reserve(6);
    this.#buffer.writeUIntBE(value, at, 6);
    return this;
  }

  bytes(value: Uint8Array): this {
    const at = this.#reserve(value.length);
    this.#buffer.set(value, at);
    return this;
  }

  /** u8 length and ASCII or UTF-8 of at most 255 bytes. */
  shortText(value: string): this {
    const at = this.#reserve(1);
    const sizeBytes = this.#characters(value);
    if (sizeBytes > 0xff) throw new RangeError(`text of ${sizeBytes} bytes does not fit in 255`);
    this.#buffer[at] = sizeBytes;
    return this;
  }

  /** u16 length and UTF-8 of at most 65,535 bytes. */
  text(value: string): this {
    const at = this.#reserve(2);
    const sizeBytes = this.#characters(value);
    if (sizeBytes > 0xffff) throw new RangeError(`text of ${sizeBytes} bytes does not fit in 65535`);
    this.#buffer[at] = sizeBytes >>> 8;
    this.#buffer[at + 1] = sizeBytes & 0xff;
    return this;
  }

  /** @returns bytes written. Short ASCII, which is almost everything, costs less here than a call of the native writer. */
  #characters(value: string): number {
    const { length } = value;
    if (length > SHORT_TEXT_LENGTH) return this.#utf8(value);
    const at = this.#reserve(length);
    const buffer = this.#buffer;
    for (let index = 0; index < length; index++) {
      const unit = value.charCodeAt(index);
      if (unit > 0x7f) {
        this.#length = at;
        return this.#utf8(value);
      }
      buffer[at + index] = unit;
    }
    return length;
  }

  #utf8(value: string): number {
    const sizeBytes = Buffer.byteLength(value);
    const at = this.#reserve(sizeBytes);
    this.#buffer.write(value, at, "utf8");
    return sizeBytes;
  }

  /** The bytes written so far, as a view: the writer must not be used afterwards. */
  finish(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }
}

export class ByteReader {
  readonly #buffer: Buffer;
  #at: number;

  constructor(bytes: Uint8Array, at = 0) {
    this.#buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#at = at;
  }

  #take(sizeBytes: number): number {
    const at = this.#at;
    if (at + sizeBytes > this.#buffer.length) throw new WireFormatError(`truncated at byte ${at}`);
    this.#at = at + sizeBytes;
    return at;
  }

  get remainingBytes(): number {
    return this.#buffer.length - this.#at;
  }

  u8(): number {
    return this.#buffer[this.#take(1)]!;
  }

  u16(): number {
    return this.#buffer.readUInt16BE(this.#take(2));
  }

  u32(): number {
    return this.#buffer.readUInt32BE(this.#take(4));
  }

  u48(): number {
    return this.#buffer.readUIntBE(this.#take(6), 6);
  }

  bytes(sizeBytes: number): Buffer {
    const at = this.#take(sizeBytes);
    return this.#buffer.subarray(at, at + sizeBytes);
  }

  rest(): Buffer {
    return this.bytes(this.remainingBytes);
  }

  shortText(): string {
    const sizeBytes = this.u8();
    const at = this.#take(sizeBytes);
    return this.#buffer.toString("utf8", at, at + sizeBytes);
  }

  text(): string {
    const sizeBytes = this.u16();
    const at = this.#take(sizeBytes);
    return this.#buffer.toString("utf8", at, at + sizeBytes);
  }
}
