import type { Msg } from "@nats-io/transport-node";

export interface BusMessage {
  readonly subject: string;
  readonly data: Buffer;
  /** Empty when no answer is expected. */
  readonly reply: string;
  /** @returns false when there is no reply subject or no connection */
  respond(data: Uint8Array): boolean;
}

interface Publisher {
  publish(subject: string, data: Uint8Array): boolean;
}

/** Decodes subject and reply only when somebody reads them. */
export class ReceivedMessage implements BusMessage {
  readonly #message: Msg;
  readonly #publisher: Publisher;

  constructor(message: Msg, publisher: Publisher) {
    this.#message = message;
    this.#publisher = publisher;
  }

  get subject(): string {
    return this.#message.subject;
  }

  get data(): Buffer {
    return asBuffer(this.#message.data);
  }

  get reply(): string {
    return this.#message.reply ?? "";
  }

  respond(data: Uint8Array): boolean {
    const { reply } = this;
    return reply !== "" && this.#publisher.publish(reply, data);
  }
}

export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
