/**
 * Requests without a promise, a timer or a subscription each: one wildcard inbox, a map from number
 * to callback, and one sweep for everything that is overdue. A lost connection fails all pending
 * requests at once, because their answers cannot arrive any more.
 */
import type { Msg, NatsConnection, Subscription } from "@nats-io/transport-node";
import { BusError } from "./bus-error.ts";

const SWEEP_MS = 100;
const NO_RESPONDERS = 503;
const EMPTY = Buffer.alloc(0);

export type RequestDone = (error: BusError | null, data: Buffer) => void;

interface PendingRequest {
  readonly subject: string;
  readonly dueAtMs: number;
  readonly done: RequestDone;
}

export class RequestMux {
  readonly #connection: NatsConnection;
  readonly #prefix: string;
  readonly #pending = new Map<number, PendingRequest>();
  readonly #subscription: Subscription;
  readonly #sweep: NodeJS.Timeout;
  #number = 0;

  constructor(connection: NatsConnection, inbox: string) {
    this.#connection = connection;
    this.#prefix = `${inbox}.`;
    this.#subscription = connection.subscribe(`${inbox}.*`, {
      callback: (error, message) => {
        if (error === null) this.#answer(message);
      },
    });
    this.#sweep = setInterval(() => this.#expire(), SWEEP_MS);
    this.#sweep.unref();
  }

  get pending(): number {
    return this.#pending.size;
  }

  request(subject: string, data: Uint8Array, timeoutMs: number, done: RequestDone, headers?: import("@nats-io/transport-node").MsgHdrs): void {
    const number = ++this.#number;
    this.#pending.set(number, { subject, dueAtMs: performance.now() + timeoutMs, done });
    this.#connection.publish(subject, data, headers ? { reply: this.#prefix + number, headers } : { reply: this.#prefix + number });
  }

  #answer(message: Msg): void {
    const number = Number(message.subject.slice(this.#prefix.length));
    const request = this.#pending.get(number);
    if (!request) return;
    this.#pending.delete(number);
    if (message.data.length === 0 && message.headers?.code === NO_RESPONDERS) {
      request.done(new BusError("no-responders", request.subject), EMPTY);
    } else request.done(null, asBuffer(message.data));
  }

  #expire(): void {
    const now = performance.now();
    for (const [number, request] of this.#pending) {
      if (request.dueAtMs > now) continue;
      this.#pending.delete(number);
      request.done(new BusError("timeout", request.subject), EMPTY);
    }
  }

  failAll(): void {
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const request of pending) request.done(new BusError("disconnected", request.subject), EMPTY);
  }

  stop(): void {
    clearInterval(this.#sweep);
    this.#subscription.unsubscribe();
    this.failAll();
  }
}

export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
