/**
 * Requests without a promise, a timer or a subscription each: one wildcard inbox, a map from number
 * to callback, and one sweep for everything that is overdue. A lost connection fails all pending
 * requests at once, because their answers cannot arrive any more.
 */
import type { Msg, MsgHdrs, NatsConnection, Subscription } from "@nats-io/transport-node";
import { BusError, type BusErrorKind } from "./bus-error.ts";
import { asBuffer } from "./received-message.ts";
import { throwLater } from "./throw-later.ts";

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

  /** @throws when the data is larger than the server's max_payload */
  request(subject: string, data: Uint8Array, timeoutMs: number, done: RequestDone, headers?: MsgHdrs): void {
    const number = ++this.#number;
    const reply = this.#prefix + number;
    this.#connection.publish(subject, data, headers ? { reply, headers } : { reply });
    this.#pending.set(number, { subject, dueAtMs: performance.now() + timeoutMs, done });
  }

  #answer(message: Msg): void {
    const number = Number(message.subject.slice(this.#prefix.length));
    const request = this.#pending.get(number);
    if (!request) return; // it came too late
    this.#pending.delete(number);
    const { data } = message;
    if (data.length === 0 && message.headers?.code === NO_RESPONDERS) return fail(request, "no-responders");
    finish(request, null, asBuffer(data));
  }

  #expire(): void {
    const now = performance.now();
    for (const [number, request] of this.#pending) {
      if (request.dueAtMs > now) continue;
      this.#pending.delete(number);
      fail(request, "timeout");
    }
  }

  failAll(): void {
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const request of pending) fail(request, "disconnected");
  }

  stop(): void {
    clearInterval(this.#sweep);
    this.#subscription.unsubscribe();
    this.failAll();
  }
}

function fail(request: PendingRequest, kind: BusErrorKind): void {
  finish(request, new BusError(kind, request.subject), EMPTY);
}

function finish(request: PendingRequest, error: BusError | null, data: Buffer): void {
  try {
    request.done(error, data);
  } catch (bug) {
    throwLater(bug);
  }
}
