/**
 * Protobuf wire format, the writing half: one growing buffer. A nested message gets a length of
 * four bytes, padded (a legal varint), so that nothing is measured before it is written.
 */
const INITIAL_BYTES = 4096;
const LENGTH_BYTES = 4;

export class ProtoWriter {
  #buffer: Buffer;
  #length = 0;

  constructor(sizeBytes = INITIAL_BYTES) {
    this.#buffer = Buffer.allocUnsafe(sizeBytes);
  }

  get sizeBytes(): number {
    return this.#length;
  }

  #reserve(sizeBytes: number): void {
    const needed = this.#length + sizeBytes;
    if (needed <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, needed));
    this.#buffer.copy(grown, 0, 0, this.#length);
    this.#buffer = grown;
  }

  /** @param value 0 .. 2^53-1 */
  varint(value: number): void {
    this.#reserve(10);
    while (value > 0x7f) {
      this.#buffer[this.#length++] = (value & 0x7f) | 0x80;
      value = Math.floor(value / 128);
    }
    this.#buffer[this.#length++] = value;
  }

  /** An int32, int64, enum or bool. Zero is the default and is left out. */
  number(field: number, value: number): void {
    if (value === 0) return;
    this.varint(field << 3);
    this.varint(value);
  }

  /** An int32 of -1, sign extended to ten bytes. */
  negativeOne(field: number): void {
    this.varint(field << 3);
    this.#reserve(10);
    this.#buffer.fill(0xff, this.#length, this.#length + 9);
    this.#buffer[this.#length + 9] = 1;
    this.#length += 10;
  }

  text(field: number, value: string): void {
    this.varint((field << 3) | 2);
    // up to 127 units of ASCII, by far the most: length and text in one go
    this.#reserve(value.length * 3 + 5);
    if (value.length < 128) {
      const written = this.#buffer.write(value, this.#length + 1, "utf8");
      if (written < 128) {
        this.#buffer[this.#length] = written;
        this.#length += written + 1;
        return;
      }
    }
    this.varint(Buffer.byteLength(value));
    this.#length += this.#buffer.write(value, this.#length, "utf8");
  }

  bytes(field: number, value: Uint8Array): void {
    this.varint((field << 3) | 2);
    this.varint(value.length);
    this.#reserve(value.length);
    this.#buffer.set(value, this.#length);
    this.#length += value.length;
  }

  /** @returns what close() needs */
  open(field: number): number {
    this.varint((field << 3) | 2);
    this.#reserve(LENGTH_BYTES);
    const at = this.#length;
    this.#length += LENGTH_BYTES;
    return at;
  }

  close(at: number): void {
    const length = this.#length - at - LENGTH_BYTES;
    this.#buffer[at] = (length & 0x7f) | 0x80;
    this.#buffer[at + 1] = ((length >>> 7) & 0x7f) | 0x80;
    this.#buffer[at + 2] = ((length >>> 14) & 0x7f) | 0x80;
    this.#buffer[at + 3] = length >>> 21;
  }

  /** apache.rocketmq.v2.Resource without a namespace. */
  resource(field: number, name: string): void {
    const at = this.open(field);
    this.text(2, name);
    this.close(at);
  }

  /** google.protobuf.Duration or Timestamp: both are seconds and nanoseconds. */
  milliseconds(field: number, value: number): void {
    const at = this.open(field);
    this.number(1, Math.floor(value / 1000));
    this.number(2, (value % 1000) * 1_000_000);
    this.close(at);
  }

  /** A copy of what was written; the writer starts anew. */
  take(): Buffer {
    const result = Buffer.from(this.#buffer.subarray(0, this.#length));
    this.#length = 0;
    return result;
  }
}
