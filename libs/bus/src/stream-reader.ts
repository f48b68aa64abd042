/**
 * Reads a stream in order from a sequence on, for ever: an ephemeral consumer without
 * acknowledgements, made again from where reading stands after every outage, when the server has
 * forgotten it, when a message was lost on the way, and when the stream is ahead and nothing comes.
 */
import { AckPolicy, DeliverPolicy, type ConsumerMessages } from "@nats-io/jetstream";
import { nanos } from "@nats-io/transport-node";
import type { Bus } from "./bus.ts";
import { asBuffer } from "./received-message.ts";

export interface StreamReaderOptions {
  readonly bus: Bus;
  readonly stream: string;
  /** Only messages of this subject. */
  readonly subject?: string;
  /** Messages on their way at a time. */
  readonly maxInFlight: number;
  /** Each message once, in order. An exception stops reading there; the message comes again. */
  readonly onMessage: (sequence: number, data: Buffer) => void;
  readonly onProblem: (problem: string) => void;
}

const IDLE_HEARTBEAT_MS = 2_000;
const INACTIVE_MS = 30_000;
const RETRY_MS = 200;
const RETRY_MAX_MS = 2_000;
const WATCHDOG_MS = 2_000;
const BROKEN = new Set(["heartbeats_missed", "consumer_not_found", "consumer_deleted", "stream_not_found"]);

export class StreamReader {
  readonly #options: StreamReaderOptions;
  #running = false;
  #paused = false;
  #generation = 0;
  #resume: (() => void) | null = null;
  #watchdog: NodeJS.Timeout | null = null;
  #stopListening: () => void = () => undefined;
  #close: () => void = () => undefined;
  #reportedAt = "";
  #failures = 0;
  /** Sequence of the last message that was handed on. */
  lastRead = 0;
  /** Last sequence of the stream, as far as known. */
  lastKnown = 0;

  constructor(options: StreamReaderOptions) {
    this.#options = options;
  }

  async bounds(): Promise<{ first: number; last: number }> {
    const { state } = await this.#options.bus.jsm.streams.info(this.#options.stream);
    this.lastKnown = Math.max(this.lastKnown, state.last_seq);
    return { first: state.first_seq, last: state.last_seq };
  }

  start(from: number): void {
    this.lastRead = from - 1;
    this.#running = true;
    this.#stopListening = this.#options.bus.onStatus((connected) => {
      if (connected) this.#restart();
      else this.#abandon();
    });
    this.#watchdog = setInterval(() => void this.#watchSilence(), WATCHDOG_MS);
    this.#restart();
  }

  stop(): void {
    this.#running = false;
    if (this.#watchdog) clearInterval(this.#watchdog);
    this.#stopListening();
    this.#abandon();
  }

  /** Nothing more is handed on until resume(). */
  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#resume?.();
    this.#resume = null;
  }

  /** What the consumer of an older generation still brings is not heard. */
  #abandon(): void {
    this.#generation++;
    this.#close();
    this.#close = () => undefined;
    this.#resume?.();
    this.#resume = null;
  }

  #restart(): void {
    if (!this.#running) return;
    this.#abandon();
    const generation = this.#generation;
    const attempt = (): void => {
      if (generation !== this.#generation) return;
      this.#read(generation).catch((error: unknown) => {
        if (generation !== this.#generation) return;
        this.#report(error instanceof Error ? error.message : String(error));
        setTimeout(attempt, Math.min(RETRY_MAX_MS, RETRY_MS * 2 ** this.#failures++)).unref();
      });
    };
    attempt();
  }

  /** One line per place and kind, not five a second. */
  #report(message: string): void {
    const at = `${this.lastRead}: ${message}`;
    if (!this.#options.bus.connected || this.#reportedAt === at) return;
    this.#reportedAt = at;
    this.#options.onProblem(`reading ${this.#options.stream}: ${message}`);
  }

  async #read(generation: number): Promise<void> {
    const { bus, stream, subject, maxInFlight, onMessage } = this.#options;
    const info = await bus.jsm.consumers.add(stream, {
      ack_policy: AckPolicy.None,
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: this.lastRead + 1,
      ...(subject === undefined ? {} : { filter_subject: subject }),
      inactive_threshold: nanos(INACTIVE_MS),
      mem_storage: true,
      num_replicas: 1,
    });
    const consumer = await bus.js.consumers.get(stream, info.name);
    const messages = await consumer.consume({ max_messages: maxInFlight, idle_heartbeat: IDLE_HEARTBEAT_MS });
    const close = (): void => {
      void messages.close().catch(() => undefined);
      void consumer.delete().catch(() => undefined);
    };
    if (generation !== this.#generation) return close();
    this.#close = close;
    void this.#watchReader(messages, generation);
    let delivered = 0;
    try {
      for await (const message of messages) {
        while (this.#paused && generation === this.#generation) await new Promise<void>((resolve) => (this.#resume = resolve));
        if (generation !== this.#generation) return;
        const { info: at } = message;
        if (at.deliverySequence !== ++delivered) throw new Error("a message was lost on the way");
        this.lastKnown = Math.max(this.lastKnown, message.seq + at.pending);
        onMessage(message.seq, asBuffer(message.data));
        this.lastRead = message.seq;
        this.#failures = 0;
      }
    } catch (error) {
      close();
      throw error;
    }
    if (generation === this.#generation) throw new Error("the consumer ended");
  }

  async #watchReader(messages: ConsumerMessages, generation: number): Promise<void> {
    for await (const status of messages.status()) {
      if (generation !== this.#generation) return;
      if (BROKEN.has(status.type) && this.#options.bus.connected) return this.#restart();
    }
  }

  /** Sequence of the newest message there is for this reader. */
  async #newest(): Promise<number> {
    const { bus, stream, subject } = this.#options;
    if (subject === undefined) return (await this.bounds()).last;
    return (await bus.jsm.streams.getMessage(stream, { last_by_subj: subject }))?.seq ?? 0;
  }

  /** Asks the stream when nothing has come for a while. */
  async #watchSilence(): Promise<void> {
    const before = this.lastRead;
    const generation = this.#generation;
    if (this.#paused || !this.#options.bus.connected) return;
    try {
      const last = await this.#newest();
      if (last <= before) return;
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS).unref());
      if (this.#running && !this.#paused && generation === this.#generation && this.lastRead === before) this.#restart();
    } catch {
      // NATS is away, or answers late: looked at again
    }
  }
}
