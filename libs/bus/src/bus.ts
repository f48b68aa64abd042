/**
 * The connection to NATS, as every service sees it. What the client library leaves open is closed
 * here: nothing is published into a dead connection (the library would lose it without a word),
 * requests cost no promise and no timer, and JetStream's answers are one of three kinds.
 */
import { connect, headers as newHeaders, type MsgHdrs, type NatsConnection } from "@nats-io/transport-node";
import { jetstream, jetstreamManager, type JetStreamClient, type JetStreamManager, type StreamConfig, type StreamInfo } from "@nats-io/jetstream";
import { HawserError } from "@hawser/errors";
import { parsePubAck, type AppendResult } from "./append-result.ts";
import { BusError } from "./bus-error.ts";
import { KvBucket, kvStreamConfig, type KvOptions } from "./kv-bucket.ts";
import { asBuffer, RequestMux, type RequestDone } from "./request-mux.ts";
import { ensureStream } from "./ensure-stream.ts";

export interface BusOptions {
  /** `nats://host:port`, several separated by commas. */
  readonly url: string;
  /** Shown in NATS monitoring; also the inbox prefix: letters, digits, `-` and `_`. */
  readonly name: string;
  /** Told in one line when the connection is lost or back. */
  readonly onEvent?: (event: string) => void;
}

export interface BusMessage {
  readonly subject: string;
  readonly data: Buffer;
  /** Empty when no answer is expected. */
  readonly reply: string;
  /** @returns false when there is no reply subject or no connection */
  respond(data: Uint8Array): boolean;
}

export interface Subscription {
  unsubscribe(): void;
  /** Messages that have arrived are handled, then the subscription ends. */
  drain(): Promise<void>;
}

export interface AppendOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}

const MIN_VERSION = [2, 12] as const;
const RECONNECT_WAIT_MS = 250;
const PING_INTERVAL_MS = 2_000;
const APPEND_TIMEOUT_MS = 5_000;
const DRAIN_TIMEOUT_MS = 2_000;
const DRAIN_POLL_MS = 10;

export class Bus {
  readonly nc: NatsConnection;
  readonly js: JetStreamClient;
  readonly jsm: JetStreamManager;
  readonly #mux: RequestMux;
  readonly #listeners = new Set<(connected: boolean) => void>();
  readonly #subscriptions = new Set<Subscription>();
  readonly #onEvent: (event: string) => void;
  #connected = true;
  #closing = false;

  private constructor(nc: NatsConnection, jsm: JetStreamManager, options: BusOptions) {
    this.nc = nc;
    this.jsm = jsm;
    this.js = jetstream(nc);
    this.#onEvent = options.onEvent ?? (() => undefined);
    this.#mux = new RequestMux(nc, `_R.${options.name}_${Math.random().toString(36).slice(2, 10)}`);
    void this.#watchStatus();
  }

  /** Waits for the first connection for 10 s. @throws HawserError HAWSER_E_NATS_CONNECT, _NATS_VERSION, _NATS_JETSTREAM */
  static async connect(options: BusOptions): Promise<Bus> {
    let nc: NatsConnection;
    try {
      nc = await connect({
        servers: options.url.split(","),
        name: options.name,
        maxReconnectAttempts: -1,
        reconnectTimeWait: RECONNECT_WAIT_MS,
        reconnectJitter: RECONNECT_WAIT_MS,
        pingInterval: PING_INTERVAL_MS,
        maxPingOut: 2,
        noAsyncTraces: true,
        ignoreAuthErrorAbort: true,
        timeout: 10_000,
      });
    } catch (cause) {
      throw new HawserError("HAWSER_E_NATS_CONNECT", `NATS cannot be reached at ${options.url}`, { cause });
    }
    const version = nc.info?.version ?? "0.0.0";
    if (!isSupported(version)) {
      await nc.close();
      throw new HawserError("HAWSER_E_NATS_VERSION", `nats-server ${version} at ${options.url} is too old: 2.12 or newer is needed`);
    }
    try {
      return new Bus(nc, await jetstreamManager(nc, { timeout: 10_000 }), options);
    } catch (cause) {
      await nc.close();
      throw new HawserError("HAWSER_E_NATS_JETSTREAM", `nats-server at ${options.url} has no JetStream`, { cause });
    }
  }

  get connected(): boolean {
    return this.#connected;
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

  /** @returns false when there is no connection: nothing was sent */
  publish(subject: string, data: Uint8Array, reply?: string): boolean {
    if (!this.#connected || this.nc.isClosed()) return false;
    if (reply === undefined || reply === "") this.nc.publish(subject, data);
    else this.nc.publish(subject, data, { reply });
    return true;
  }

  subscribe(subject: string, handler: (message: BusMessage) => void): Subscription {
    const subscription = this.nc.subscribe(subject, {
      callback: (error, message) => {
        if (error) return this.#onEvent(`${subject}: ${error.message}`);
        handler({
          subject: message.subject,
          data: asBuffer(message.data),
          reply: message.reply ?? "",
          respond: (data) => this.#connected && message.respond(data),
        });
      },
    });
    const handle: Subscription = {
      unsubscribe: () => {
        this.#subscriptions.delete(handle);
        if (!this.nc.isClosed()) subscription.unsubscribe();
      },
      drain: async () => {
        this.#subscriptions.delete(handle);
        if (!this.nc.isClosed() && !subscription.isClosed() && this.#connected) await subscription.drain();
      },
    };
    this.#subscriptions.add(handle);
    return handle;
  }

  /** @param done called once, never within this call when connected */
  requestCallback(subject: string, data: Uint8Array, timeoutMs: number, done: RequestDone): void {
    if (!this.#connected || this.nc.isClosed()) {
      setImmediate(() => done(new BusError("disconnected", subject), Buffer.alloc(0)));
      return;
    }
    this.#mux.request(subject, data, timeoutMs, done);
  }

  /** @throws BusError */
  request(subject: string, data: Uint8Array, timeoutMs: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.requestCallback(subject, data, timeoutMs, (error, answer) => (error ? reject(error) : resolve(answer)));
    });
  }

  /** Stores one message in the stream of its subject. */
  append(subject: string, data: Uint8Array, done: (result: AppendResult) => void, options: AppendOptions = {}): void {
    if (!this.#connected || this.nc.isClosed()) {
      setImmediate(() => done({ kind: "unknown" }));
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

  /** Sends without waiting, with headers: the middle of an atomic batch. */
  publishWithHeaders(subject: string, data: Uint8Array, headers: Readonly<Record<string, string>>): boolean {
    if (!this.#connected || this.nc.isClosed()) return false;
    this.nc.publish(subject, data, { headers: headersOf(headers) });
    return true;
  }

  /** Everything published so far has reached the server. @throws BusError */
  async flush(): Promise<void> {
    if (!this.#connected) throw new BusError("disconnected", "flush");
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
  ensureStream(config: Partial<StreamConfig> & { name: string }): Promise<StreamInfo> {
    return ensureStream(this.jsm, config);
  }

  /** Handles what has arrived, waits for open requests for at most 2 s, and closes. */
  async close(): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    if (this.#connected) {
      await Promise.allSettled([...this.#subscriptions].map((subscription) => subscription.drain()));
      const deadline = performance.now() + DRAIN_TIMEOUT_MS;
      while (this.#mux.pending > 0 && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, DRAIN_POLL_MS));
    }
    this.#mux.stop();
    if (this.#connected) await Promise.race([this.nc.drain(), new Promise((resolve) => setTimeout(resolve, DRAIN_TIMEOUT_MS))]).catch(() => undefined);
    await this.nc.close().catch(() => undefined);
  }
}

function headersOf(values: Readonly<Record<string, string>>): MsgHdrs {
  const headers = newHeaders();
  for (const name in values) headers.set(name, values[name]!);
  return headers;
}

function isSupported(version: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major > MIN_VERSION[0] || (major === MIN_VERSION[0] && minor >= MIN_VERSION[1]);
}
