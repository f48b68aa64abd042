/**
 * What one connection has to write, collected over a tick. Small packets are joined into one
 * buffer, so that a tick costs one system call; large ones, which may be shared with other
 * connections, are passed on uncopied. Nothing leaves before CONNACK [MQTT-3.2.0-1].
 */
import type { ConnectionSocket } from "./types.ts";

/** From here on a buffer is written as it is. */
const ALONE_BYTES = 16_384;

export class PacketOutput {
  readonly #socket: ConnectionSocket;
  #packets: Buffer[] = [];
  #bytes = 0;
  #isOpen = false;

  constructor(socket: ConnectionSocket) {
    this.#socket = socket;
  }

  /** Pushed and not yet written. */
  get pendingBytes(): number {
    return this.#bytes;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Pushed, or written but not yet taken by the operating system. */
  get unsentBytes(): number {
    return this.#bytes + this.#socket.writableLength;
  }

  push(bytes: Buffer | readonly [Buffer, Buffer]): void {
    if (Buffer.isBuffer(bytes)) {
      this.#packets.push(bytes);
      this.#bytes += bytes.length;
    } else {
      this.#packets.push(bytes[0], bytes[1]);
      this.#bytes += bytes[0].length + bytes[1].length;
    }
  }

  /** CONNACK: goes first, and opens the way for the rest. */
  open(connack: Buffer): void {
    this.#packets.unshift(connack);
    this.#bytes += connack.length;
    this.#isOpen = true;
  }

  /** Ahead of CONNACK: AUTH, or a refusal. */
  writeNow(bytes: Buffer): void {
    this.#socket.write(bytes);
  }

  flush(): void {
    if (!this.#isOpen || this.#bytes === 0) return;
    const packets = this.#packets;
    this.#packets = [];
    this.#bytes = 0;
    if (packets.length === 1) {
      this.#socket.write(packets[0]!);
      return;
    }
    const joined = joinSmall(packets);
    if (joined.length > 1) this.#socket.cork?.();
    for (let i = 0; i < joined.length; i++) this.#socket.write(joined[i]!);
    if (joined.length > 1) this.#socket.uncork?.();
  }

  discard(): void {
    this.#packets = [];
    this.#bytes = 0;
    this.#isOpen = false;
  }
}

function joinSmall(packets: Buffer[]): Buffer[] {
  const result: Buffer[] = [];
  let from = 0;
  let size = 0;
  for (let i = 0; i <= packets.length; i++) {
    const packet = packets[i];
    if (packet !== undefined && packet.length < ALONE_BYTES) {
      size += packet.length;
      continue;
    }
    if (i - from === 1) {
      result.push(packets[from]!);
    } else if (i > from) {
      const bytes = Buffer.allocUnsafe(size);
      let at = 0;
      for (let j = from; j < i; j++) {
        const part = packets[j]!;
        bytes.set(part, at);
        at += part.length;
      }
      result.push(bytes);
    }
    if (packet !== undefined) result.push(packet);
    from = i + 1;
    size = 0;
  }
  return result;
}
