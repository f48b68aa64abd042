/** Bytes of MQTT, written from the standard and not from the code under test. */

export function u8(value: number): Buffer {
  return Buffer.of(value & 0xff);
}

export function u16(value: number): Buffer {
  return Buffer.of((value >> 8) & 0xff, value & 0xff);
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** UTF-8 string or binary data, 2 bytes of length before it (1.5.4, 1.5.6). */
export function field(value: string | Uint8Array): Buffer {
  const bytes = Buffer.from(value as string);
  return Buffer.concat([u16(bytes.length), bytes]);
}

/** Variable byte integer (MQTT 5, 1.5.5). */
export function varint(value: number): Buffer {
  const bytes: number[] = [];
  do {
    const rest = Math.floor(value / 128);
    bytes.push((value % 128) | (rest > 0 ? 128 : 0));
    value = rest;
  } while (value > 0);
  return Buffer.from(bytes);
}

/** Fixed header and body (2.1). */
export function packet(type: number, flags: number, ...parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([u8((type << 4) | flags), varint(body.length), body]);
}

/** Reads what the functions above write. @throws RangeError at the end of the bytes */
export class ByteReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  u8(): number {
    return this.take(1)[0]!;
  }

  u16(): number {
    return this.take(2).readUInt16BE();
  }

  u32(): number {
    return this.take(4).readUInt32BE();
  }

  varint(): number {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = this.u8();
      value += (byte & 127) * factor;
      if (byte < 128) return value;
      if (factor > 128 ** 2) throw new RangeError("variable byte integer of more than 4 bytes");
    }
  }

  text(): string {
    return this.binary().toString("utf8");
  }

  binary(): Buffer {
    return Buffer.from(this.take(this.u16()));
  }

  rest(): Buffer {
    return Buffer.from(this.take(this.left));
  }

  take(length: number): Buffer {
    if (length > this.left) throw new RangeError(`${length} bytes wanted, ${this.left} left`);
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }
}
