/**
 * The connection to NATS, as every service sees it. What the client library leaves open is closed
 * here: nothing is published into a dead connection (the library would lose it without a word),
 * requests cost no promise and no timer, and JetStream's answers are one of three kinds.
 */
import { headers as newHeaders, type MsgHdrs, type NatsConnection } from "@nats-io/transport-node";
import { jetstream, type JetStreamClient, type JetStreamManager, type StreamInfo } from "@nats-io/jetstream";
import { parsePubAck, type AppendResult } from "./append-result.ts";
import { BusError } from "./bus-error.ts";
import { ensureStream, type StreamSettings } from "./ensure-stream.ts";
import { KvBucket, kvStreamConfig, type KvOptions } from "./kv-bucket.ts";
import { openConnection } from "./open-connection.ts";
import { ReceivedMessage, type BusMessage } from "./received-message.ts";
import { RequestMux, type RequestDone } from "./request-mux.ts";
import { throwLater } from "./throw-later.ts";

export interface BusOptions {
  /** `nats://host:port`, several separated by commas. */
  readonly url: string;
  /** Shown in NATS monitoring; also part of the inbox: letters, digits, `-` and `_`. */
  readonly name: string;
  /** How long the first connection is tried, default 10,000. */
  readonly connectWithinMs?: number;
  /** Told in one line when the connection is lost or back. */
  readonly onEvent?: (event: string) => void;
}

export interface Subscription {
  unsubscribe(): void;
  /** Messages that have arrived are handled, then the subscription ends. */
  drain(): Promise<void>;
}

export interface AppendOptions {
  readonly headers?: Readonly<Record<string, string>>;
  /** Default 5,000; then the result is unknown. */
  readonly timeoutMs?: number;
}

const CONNECT_WITHIN_MS = 10_000;
const APPEND_TIMEOUT_MS = 5_000;
const DRAIN_TIMEOUT_MS = 2_000;
const DRAIN_POLL_MS = 10;
const MESSAGE_EXCEEDS_MAXIMUM = 10_054;
const EMPTY = Buffer.alloc(0);

export class Bus {
  readonly nc: NatsConnection;
  readonly js: JetStreamClient;
  readonly jsm: JetStreamManager;
  readonly #mux: RequestMux;
  readonly #listeners = new Set<(connected: boolean) => void>();
  readonly #subscriptions = new Set<Subscription>();
  readonly #onEvent: (event: string) => void;
  #connected = true;
  #closing: Promise<void> | null = null;

  private constructor(nc: NatsConnection, jsm: JetStreamManager, options: BusOptions) {
    this.nc = nc;
    this.jsm = jsm;
    this.js = jetstream(nc);
    this.#onEvent = options.onEvent ?? (() => undefined);
    this.#mux = new RequestMux(nc, `_R.${options.name}_${Math.random().toString(36).slice(2, 10)}`);
    void this.#watchStatus();
  }

  /** @throws HawserError HAWSER_E_NATS_CONNECT, _NATS_VERSION, _NATS_JETSTREAM */
  static async connect(options: BusOptions): Promise<Bus> {
    const { nc, jsm } = await openConnection(options.url, options.name, options.connectWithinMs ?? CONNECT_WITHIN_MS);
    return new Bus(nc, jsm, options);
  }

  /** False also while closing, once the subscriptions are drained. */
  get connected(): boolean {
    return this.#connected && !this.nc.isDraining() && !this.nc.isClosed();
  }

  /** @returns stops listening */
  onStatus(listener: (connected: boolean) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async #watchStatus(): Promise<void> {
    for await (const status of this.nc.status()) {
      if (status.type === "disconnect" && this.#connected) this.#setConnected(false);
      else if (status.type === "reconnect" && !this.#connected) this.#setConnected(true);
      else if (status.type === "error") this.#onEvent(`NATS: ${status.error.message}`);
      else if (status.type === "close") break;
    }
    if (this.#connected) this.#setConnected(false);
  }

  #setConnected(connected: boolean): void {
    this.#connected = connected;
    if (!connected) this.#mux.failAll();
    if (!this.#closing) this.#onEvent(connected ? "NATS is back" : "NATS is away");
    for (const listener of this.#listeners) listener(connected);
  }

  /**
   * @returns false when there is no connection: nothing was sent
   * @throws when the data is larger than the server's max_payload
   */
  publish(subject: string, data: Uint8Array, reply?: string): boolean {
    if (!this.connected) return false;
    if (reply === undefined || reply === "") this.nc.publish(subject, data);
    else this.nc.publish(subject, data, { reply });
    return true;
  }

  /** The handler is called as messages arrive, one after the other. A rejected permission is an event, not an exception. */
  subscribe(subject: string, handler: (message: BusMessage) => void): Subscription {
    const subscription = this.nc.subscribe(subject, {
      callback: (error, message) => {
        if (error) return this.#onEvent(`${subject}: ${error.message}`);
        try {
          handler(new ReceivedMessage(message, this));
        } catch (bug) {
          throwLater(bug);
        }
      },
    });
    const handle: Subscription = {
      unsubscribe: () => {
        this.#subscriptions.delete(handle);
        if (!this.nc.isClosed()) subscription.unsubscribe();
      },
      drain: async () => {
        this.#subscriptions.delete(handle);
        if (this.nc.isClosed() || subscription.isClosed()) return;
        if (this.#connected) await subscription.drain();
        else subscription.unsubscribe();
      },
    };
    this.#subscriptions.add(handle);
    return handle;
  }

  /** @param done called once, never within this call */
  requestCallback(subject: string, data: Uint8Array, timeoutMs: number, done: RequestDone): void {
    if (this.connected) this.#mux.request(subject, data, timeoutMs, done);
    else setImmediate(() => done(new BusError("disconnected", subject), EMPTY));
  }

  /** @throws BusError */
  request(subject: string, data: Uint8Array, timeoutMs: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.requestCallback(subject, data, timeoutMs, (error, answer) => (error ? reject(error) : resolve(answer)));
    });
  }

  /** Stores one message in the stream of its subject. @param done called once, never within this call */
  append(subject: string, data: Uint8Array, done: (result: AppendResult) => void, options: AppendOptions = {}): void {
    if (!this.connected) {
      setImmediate(() => done({ kind: "unknown" }));
      return;
    }
    if (data.length > this.maxPayloadBytes) {
      setImmediate(() => done({ kind: "refused", code: MESSAGE_EXCEEDS_MAXIMUM, reason: `larger than max_payload (${this.maxPayloadBytes} bytes)` }));
      return;
    }
    const headers = options.headers ? headersOf(options.headers) : undefined;
    this.#mux.request(
      subject,
      data,
      options.timeoutMs ?? APPEND_TIMEOUT_MS,
      (error, answer) => done(error ? { kind: "unknown" } : parsePubAck(answer)),
      headers,
    );
  }

  /** What one message may hold, less room for headers. */
  get maxPayloadBytes(): number {
    return (this.nc.info?.max_payload ?? 1_048_576) - 1024;
  }

  /** Sends without waiting, with headers: the middle of an atomic batch. @returns false when nothing was sent */
  publishWithHeaders(subject: string, data: Uint8Array, headers: Readonly<Record<string, string>>): boolean {
    if (!this.connected) return false;
    this.nc.publish(subject, data, { headers: headersOf(headers) });
    return true;
  }

  /** Everything published so far has reached the server. @throws BusError */
  async flush(): Promise<void> {
    if (!this.connected) throw new BusError("disconnected", "flush");
    try {
      await this.nc.flush();
    } catch {
      throw new BusError("disconnected", "flush");
    }
  }

  kv(bucket: string): KvBucket {
    return new KvBucket(this, bucket);
  }

  /** Creates the bucket unless it exists. @throws HawserError HAWSER_E_STREAM_MISMATCH */
  async ensureKv(bucket: string, options: KvOptions = {}): Promise<KvBucket> {
    await this.ensureStream(kvStreamConfig(bucket, options));
    return this.kv(bucket);
  }

  /** Creates the stream unless it exists, and checks what the server made of it. @throws HawserError HAWSER_E_STREAM_MISMATCH */
  ensureStream(config: StreamSettings): Promise<StreamInfo> {
    return ensureStream(this.jsm, config);
  }

  /**
   * Handles what has arrived, waits for open requests, closes. Each step takes 2 s at most: the
   * client's own drain neither waits for requests nor ends while the server is frozen.
   */
  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    if (this.#connected) {
      await atMost(Promise.allSettled([...this.#subscriptions].map((subscription) => subscription.drain())));
      const deadline = performance.now() + DRAIN_TIMEOUT_MS;
      while (this.#mux.pending > 0 && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, DRAIN_POLL_MS));
    }
    this.#mux.stop();
    if (this.#connected) await atMost(this.nc.drain());
    await atMost(this.nc.close());
  }
}

/** Waits for it for at most 2 s; how it ends does not matter. */
async function atMost(work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise((resolve) => (timer = setTimeout(resolve, DRAIN_TIMEOUT_MS)));
  await Promise.race([work.catch(() => undefined), limit]);
  clearTimeout(timer);
}

function headersOf(values: Readonly<Record<string, string>>): MsgHdrs {
  const headers = newHeaders();
  for (const name in values) headers.set(name, values[name]!);
  return headers;
}
