/**
 * The telemetry stream of a consumer: the proxy gives messages only to a client whose settings it
 * holds, and it holds them in memory, for as long as somebody is there. So the settings are sent
 * first, a heartbeat goes out every 10 s, and whatever ends the stream (the proxy restarts, the
 * group does not exist, the network) it is opened again.
 */
import { type ClientDuplexStream, status as grpcStatus } from "@grpc/grpc-js";
import type { RocketMqChannel } from "./channel.ts";
import { ProtoReader } from "./proto-reader.ts";
import { encodeConsumerSettings, encodeHeartbeat, encodeTermination, type MessageFilter } from "./requests.ts";
import { codes, readStatus } from "./status.ts";

export interface ConsumerSessionOptions {
  readonly channel: RocketMqChannel;
  readonly topic: string;
  readonly consumerGroup: string;
  readonly filter: MessageFilter;
  readonly onUp: () => void;
  readonly onDown: (reason: string) => void;
}

const HEARTBEAT_MS = 10_000;
const CALL_TIMEOUT_MS = 5000;
const SETTINGS_TIMEOUT_MS = 5000;
const REOPEN_MIN_MS = 100;
const REOPEN_MAX_MS = 1000;
/** A group that does not exist does not come to be by asking often. */
const REFUSED_MS = 3000;

export class ConsumerSession {
  readonly #options: ConsumerSessionOptions;
  readonly #heartbeat: NodeJS.Timeout;
  #stream: ClientDuplexStream<Buffer, Buffer> | null = null;
  #timer: NodeJS.Timeout | null = null;
  #reopenMs = REOPEN_MIN_MS;
  #closed = false;
  /** The proxy has our settings. */
  up = false;
  /** Of the group, as the proxy says: order counts. */
  fifo = false;

  constructor(options: ConsumerSessionOptions) {
    this.#options = options;
    this.#heartbeat = setInterval(() => this.#beat(), HEARTBEAT_MS);
    this.#heartbeat.unref();
    this.#open();
  }

  #open(): void {
    const { channel, consumerGroup, topic, filter } = this.#options;
    const stream = channel.duplex("Telemetry");
    this.#stream = stream;
    stream.on("data", (bytes: Buffer) => {
      if (stream === this.#stream) this.#read(bytes);
    });
    stream.on("error", (error: Error & { code?: number; details?: string }) => {
      if (error.code === grpcStatus.INVALID_ARGUMENT) this.#reopenMs = REFUSED_MS;
      this.#ended(stream, error.details || error.message);
    });
    stream.on("end", () => this.#ended(stream, "the proxy ended the session"));
    stream.write(encodeConsumerSettings(consumerGroup, topic, filter, channel.addresses));
    this.#wait(SETTINGS_TIMEOUT_MS, () => this.#ended(stream, "the proxy does not answer to the settings"));
  }

  #wait(ms: number, next: () => void): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#timer = null;
      next();
    }, ms);
  }

  #read(bytes: Buffer): void {
    const command = new ProtoReader(bytes);
    let settings = false;
    while (command.next()) {
      if (command.field === 1) {
        const { code, reason } = readStatus(command.message());
        if (code !== codes.ok) return this.#ended(this.#stream!, `${reason} (${code})`);
      } else if (command.field === 2) {
        settings = true;
        const reader = command.message();
        while (reader.next()) if (reader.field === 6) this.#readSubscription(reader.message());
      }
    }
    if (!settings || this.up) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#reopenMs = REOPEN_MIN_MS;
    this.up = true;
    this.#options.onUp();
  }

  #readSubscription(reader: ProtoReader): void {
    this.fifo = false;
    while (reader.next()) if (reader.field === 3) this.fifo = reader.number() === 1;
  }

  /** The settings are gone, says a receive: send them again. */
  renew(reason: string): void {
    if (this.up && this.#stream) this.#ended(this.#stream, reason);
  }

  #ended(stream: ClientDuplexStream<Buffer, Buffer>, reason: string): void {
    if (stream !== this.#stream || this.#closed) return;
    this.#stream = null;
    stream.cancel();
    this.up = false;
    const ms = this.#reopenMs;
    this.#reopenMs = Math.min(REOPEN_MAX_MS, ms * 2);
    this.#wait(ms, () => this.#open());
    this.#options.onDown(reason);
  }

  #beat(): void {
    if (!this.up) return;
    // what a lost heartbeat means, the stream and the receives will tell
    this.#options.channel.unary("Heartbeat", encodeHeartbeat(this.#options.consumerGroup), CALL_TIMEOUT_MS, () => {});
  }

  /** Tells the proxy, when there is one, and waits at most a second for it. */
  close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#heartbeat);
    if (this.#timer !== null) clearTimeout(this.#timer);
    const stream = this.#stream;
    this.#stream = null;
    return new Promise((resolve) => {
      const finish = (): void => {
        stream?.cancel();
        resolve();
      };
      if (!this.up) return finish();
      this.up = false;
      this.#options.channel.unary("NotifyClientTermination", encodeTermination(this.#options.consumerGroup), 1000, finish);
    });
  }
}
