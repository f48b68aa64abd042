/**
 * Watching a bucket. A watch reads with an ephemeral consumer that begins with the last value of
 * every key. When that breaks (an outage, a server that has forgotten it, a message lost on the
 * way) it is made again and everything is read anew: a revision that was told is not told again,
 * and keys that have vanished meanwhile are told as deleted.
 */
import type { ConsumerMessages } from "@nats-io/jetstream";
import type { Bus } from "./bus.ts";
import { changeOf, createReader, type KvChange } from "./kv-read.ts";
import { throwLater } from "./throw-later.ts";


const IDLE_HEARTBEAT_MS = 2_000;
const RETRY_MS = 200;
const READ_MESSAGES = 500;
const BROKEN = new Set(["heartbeats_missed", "consumer_not_found", "consumer_deleted", "stream_not_found"]);

export class KvWatch {
  readonly #bus: Bus;
  readonly #bucket: string;
  readonly #prefix: string;
  readonly #onChange: (change: KvChange) => void;
  /** Keys that exist, with the revision that was told. */
  readonly #known = new Map<string, number>();
  readonly #caughtUp: (() => void)[] = [];
  #stopped = false;
  #generation = 0;
  #stopListening: () => void = () => undefined;
  #close: () => void = () => undefined;
  /** Highest revision of the bucket that has been told, 0 when it is empty. */
  revision = 0;

  constructor(bus: Bus, bucket: string, prefix: string, onChange: (change: KvChange) => void) {
    this.#bus = bus;
    this.#bucket = bucket;
    this.#prefix = prefix;
    this.#onChange = onChange;
  }

  /** Resolves when the values that exist have been told. @throws when NATS is away or there is no such bucket */
  async start(): Promise<void> {
    this.#stopListening = this.#bus.onStatus((connected) => {
      if (connected) this.#restart();
      else this.#abandon();
    });
    const caughtUp = this.#nextCatchUp();
    try {
      await this.#open(this.#generation);
    } catch (error) {
      this.stop();
      throw error;
    }
    await caughtUp;
  }

  stop(): void {
    this.#stopped = true;
    this.#stopListening();
    this.#abandon();
    this.#tellCaughtUp();
  }

  /** Reads everything anew, as after an outage; resolves when what differs has been told. */
  reconcile(): Promise<void> {
    if (this.#stopped) return Promise.resolve();
    const caughtUp = this.#nextCatchUp();
    if (this.#bus.connected) this.#restart();
    return caughtUp;
  }

  #nextCatchUp(): Promise<void> {
    return new Promise((resolve) => this.#caughtUp.push(resolve));
  }

  #tellCaughtUp(): void {
    for (const resolve of this.#caughtUp.splice(0)) resolve();
  }

  /** What the reader of an older generation still brings is not heard. */
  #abandon(): void {
    this.#generation++;
    this.#close();
    this.#close = () => undefined;
  }

  #restart(): void {
    if (this.#stopped) return;
    this.#abandon();
    const generation = this.#generation;
    const attempt = (): void => {
      if (generation !== this.#generation) return;
      this.#open(generation).catch(() => setTimeout(attempt, RETRY_MS).unref());
    };
    attempt();
  }

  async #open(generation: number): Promise<void> {
    const { consumer, pending } = await createReader(this.#bus, this.#bucket, this.#prefix);
    const forget = (): void => void consumer.delete().catch(() => undefined);
    if (generation !== this.#generation) return forget();
    const messages = await consumer.consume({ max_messages: READ_MESSAGES, idle_heartbeat: IDLE_HEARTBEAT_MS });
    const close = (): void => {
      void messages.close().catch(() => undefined);
      forget();
    };
    if (generation !== this.#generation) return close();
    this.#close = close;
    void this.#read(messages, pending, generation);
    void this.#watchReader(messages, generation);
  }

  async #read(messages: ConsumerMessages, pending: number, generation: number): Promise<void> {
    const unseen = new Set(this.#known.keys());
    let initial = pending > 0;
    if (!initial) this.#finishInitial(unseen);
    let delivered = 0;
    try {
      for await (const message of messages) {
        if (generation !== this.#generation) return;
        if (message.info.deliverySequence !== ++delivered) break;
        const change = changeOf(this.#bucket, message);
        unseen.delete(change.key);
        this.#learn(change);
        if (initial && (delivered >= pending || message.info.pending === 0)) {
          initial = false;
          this.#finishInitial(unseen);
        }
      }
    } catch {
      // ended by the server or the connection
    }
    if (generation !== this.#generation) return;
    setTimeout(() => generation === this.#generation && this.#restart(), RETRY_MS).unref();
  }

  #finishInitial(unseen: ReadonlySet<string>): void {
    for (const key of unseen) {
      const revision = this.#known.get(key);
      this.#known.delete(key);
      if (revision !== undefined) this.#tell({ key, value: null, revision });
    }
    this.#tellCaughtUp();
  }

  async #watchReader(messages: ConsumerMessages, generation: number): Promise<void> {
    for await (const status of messages.status()) {
      if (generation !== this.#generation) return;
      if (BROKEN.has(status.type) && this.#bus.connected) return this.#restart();
    }
  }

  /** Revisions come in order, so everything up to the highest one has been told, whoever read it. */
  #learn(change: KvChange): void {
    if (change.revision <= this.revision) return;
    this.revision = change.revision;
    if (change.value === null) this.#known.delete(change.key);
    else this.#known.set(change.key, change.revision);
    this.#tell(change);
  }

  #tell(change: KvChange): void {
    try {
      this.#onChange(change);
    } catch (bug) {
      throwLater(bug);
    }
  }
}
