/** What a decoder throws when bytes are not what the protocol says. */
export class ProtoFormatError extends Error {
  override readonly name = "ProtoFormatError";
}

/**
 * Protobuf wire format, the reading half: walks the fields of one message. Numbers above 2^53 lose
 * precision; nothing read here comes near.
 *
 *   while (reader.next()) switch (reader.field) { case 1: ... reader.text() }
 *
 * A field that is not read is skipped by the next next().
 */
export class ProtoReader {
  readonly #buffer: Buffer;
  readonly #end: number;
  #at: number;
  #unread = false;
  #wireType = 0;
  field = 0;

  constructor(buffer: Buffer, start = 0, end = buffer.length) {
    this.#buffer = buffer;
    this.#at = start;
    this.#end = end;
  }

  next(): boolean {
    if (this.#unread) this.#skip();
    if (this.#at >= this.#end) return false;
    const key = this.#varint();
    this.field = key >>> 3;
    this.#wireType = key & 7;
    this.#unread = true;
    return true;
  }

  #varint(): number {
    let value = 0;
    let factor = 1;
    for (let left = 10; left > 0; left--) {
      if (this.#at >= this.#end) break;
      const byte = this.#buffer[this.#at++]!;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
      factor *= 128;
    }
    throw new ProtoFormatError(`bad varint before byte ${this.#at}`);
  }

  #skip(): void {
    this.#unread = false;
    if (this.#wireType === 0) this.#varint();
    else if (this.#wireType === 1) this.#at += 8;
    else if (this.#wireType === 5) this.#at += 4;
    else if (this.#wireType === 2) this.#at = this.#stop();
    else throw new ProtoFormatError(`wire type ${this.#wireType} before byte ${this.#at}`);
  }

  #stop(): number {
    const sizeBytes = this.#varint();
    if (this.#at + sizeBytes > this.#end) throw new ProtoFormatError(`truncated at byte ${this.#at}`);
    return this.#at + sizeBytes;
  }

  #expect(wireType: number): void {
    if (this.#wireType !== wireType) throw new ProtoFormatError(`field ${this.field} has wire type ${this.#wireType}`);
    this.#unread = false;
  }

  number(): number {
    this.#expect(0);
    return this.#varint();
  }

  text(): string {
    this.#expect(2);
    const stop = this.#stop();
    const value = this.#buffer.toString("utf8", this.#at, stop);
    this.#at = stop;
    return value;
  }

  /** A view. */
  bytes(): Buffer {
    this.#expect(2);
    const stop = this.#stop();
    const value = this.#buffer.subarray(this.#at, stop);
    this.#at = stop;
    return value;
  }

  message(): ProtoReader {
    this.#expect(2);
    const stop = this.#stop();
    const reader = new ProtoReader(this.#buffer, this.#at, stop);
    this.#at = stop;
    return reader;
  }

  /** google.protobuf.Timestamp or Duration, in ms. */
  milliseconds(): number {
    const reader = this.message();
    let value = 0;
    while (reader.next()) {
      if (reader.field === 1) value += reader.number() * 1000;
      else if (reader.field === 2) value += Math.floor(reader.number() / 1_000_000);
    }
    return value;
  }
}
