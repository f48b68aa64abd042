/**
 * One consumer of one partition of the log. It reads the stream from its cursor, passes entries
 * through the gate (sequence-gate.ts), hands them on, and moves the cursor when they are done. The
 * cursor record is stamped with the owner's epoch before the first entry is handed on and written by
 * compare-and-set, so a stale owner learns at its next write that it is one.
 *
 * A gap whose origin is dead is voided: a void entry for each missing number is appended, and whichever
 * stands first in the log, the void or a late append, counts for every consumer.
 */
import { AckPolicy, DeliverPolicy } from "@nats-io/jetstream";
import { nanos } from "@nats-io/transport-node";
import type { Bus, KvBucket } from "@hawser/bus";
import { buckets, decodeLogEntry, encodeVoidEntry, streams, subjects, type LogEntry } from "@hawser/wire";
import { cursorKey, decodeCursor, encodeCursor } from "./cursor.ts";
import { DoneTracker } from "./done-tracker.ts";
import { SequenceGate } from "./sequence-gate.ts";

export interface LogConsumerOptions {
  readonly bus: Bus;
  /** `inbox`, `actor`, `rocketmq.<cluster>`. */
  readonly name: string;
  readonly partition: number;
  readonly epoch: number;
  /** Whether the member of this boot may still append. */
  readonly isAlive: (origin: string) => boolean;
  /** An entry that goes on, in order per origin; call done(sequence) when it is finished. */
  readonly onEntry: (entry: LogEntry, sequence: number) => void;
  /** The cursor has a newer owner: stop at once. */
  readonly onFenced: () => void;
  readonly onProblem?: (problem: string) => void;
  /** Entries that may be unfinished before reading pauses. */
  readonly maxUnfinishedEntries?: number;
}

const MAX_UNFINISHED = 64;
const CURSOR_EVERY_MS = 200;
const GAP_MS = 2_000;
const IDLE_HEARTBEAT_MS = 2_000;
const INACTIVE_MS = 30_000;
const RETRY_MS = 200;

interface Held {
  readonly entry: LogEntry;
  readonly sequence: number;
}

export class LogConsumer {
  readonly #options: LogConsumerOptions;
  readonly #kv: KvBucket;
  readonly #key: string;
  #revision = 0;
  #gate = new SequenceGate<Held>();
  #tracker = new DoneTracker(0, {});
  readonly #numbers = new Map<number, { origin: string; number: number }>();
  #lastRead = 0;
  #lastKnown = 0;
  #writtenCursor = -1;
  #writing = false;
  #running = false;
  #generation = 0;
  #room: (() => void) | null = null;
  #timer: NodeJS.Timeout | null = null;
  #gapTimer: NodeJS.Timeout | null = null;
  #stopListening: () => void = () => undefined;
  #closeReader: () => void = () => undefined;

  constructor(options: LogConsumerOptions) {
    this.#options = options;
    this.#kv = options.bus.kv(buckets.cursors);
    this.#key = cursorKey(options.name, options.partition);
  }

  /** Everything up to this log sequence is done. */
  get position(): number {
    return this.#tracker.cursor;
  }

  get lag(): { readonly entries: number } {
    return { entries: Math.max(0, this.#lastKnown - this.#tracker.cursor) };
  }

  /** @returns false when the cursor belongs to a newer owner. @throws when NATS is away */
  async start(): Promise<boolean> {
    if (!(await this.#stamp())) return false;
    this.#running = true;
    this.#timer = setInterval(() => this.#writeCursor(), CURSOR_EVERY_MS);
    this.#gapTimer = setInterval(() => this.#voidDeadGaps(), GAP_MS / 4);
    this.#stopListening = this.#options.bus.onStatus((connected) => {
      if (connected) this.#restartReader();
    });
    this.#restartReader();
    return true;
  }

  async #stamp(): Promise<boolean> {
    for (;;) {
      const stored = await this.#kv.get(this.#key);
      const cursor = stored ? decodeCursor(stored.value) : null;
      if (cursor && cursor.epoch > this.#options.epoch) return false;
      const sequence = cursor?.sequence ?? 0;
      const doneNext = cursor?.doneNext ?? {};
      const value = encodeCursor({ version: 1, epoch: this.#options.epoch, sequence, doneNext });
      const written = stored ? await this.#kv.update(this.#key, value, stored.revision) : await this.#kv.create(this.#key, value);
      if (written.kind !== "ok") {
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
        continue;
      }
      this.#revision = written.revision;
      this.#gate = new SequenceGate(doneNext);
      this.#tracker = new DoneTracker(sequence, doneNext);
      this.#lastRead = sequence;
      this.#writtenCursor = sequence;
      return true;
    }
  }

  done(sequence: number): void {
    const entry = this.#numbers.get(sequence);
    if (!entry) return;
    this.#numbers.delete(sequence);
    this.#tracker.done(entry.origin, entry.number);
    if (this.#room && this.#tracker.unfinished < this.#limit) {
      const room = this.#room;
      this.#room = null;
      room();
    }
  }

  get #limit(): number {
    return this.#options.maxUnfinishedEntries ?? MAX_UNFINISHED;
  }

  #restartReader(): void {
    const generation = ++this.#generation;
    this.#closeReader();
    this.#room?.();
    this.#room = null;
    const attempt = (): void => {
      if (!this.#running || generation !== this.#generation) return;
      this.#read(generation).catch((error: unknown) => {
        if (this.#options.bus.connected) this.#options.onProblem?.(`reading the log: ${error instanceof Error ? error.message : String(error)}`);
        setTimeout(attempt, RETRY_MS).unref();
      });
    };
    attempt();
  }

  async #read(generation: number): Promise<void> {
    const { bus, partition } = this.#options;
    const stream = streams.log(partition);
    const info = await bus.jsm.consumers.add(stream, {
      ack_policy: AckPolicy.None,
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: this.#lastRead + 1,
      inactive_threshold: nanos(INACTIVE_MS),
      mem_storage: true,
      num_replicas: 1,
    });
    const consumer = await bus.js.consumers.get(stream, info.name);
    const messages = await consumer.consume({ max_messages: this.#limit, idle_heartbeat: IDLE_HEARTBEAT_MS });
    if (generation !== this.#generation) return void messages.close();
    this.#closeReader = () => {
      messages.stop();
      void consumer.delete().catch(() => undefined);
    };
    void this.#watchReader(messages, generation);
    for await (const message of messages) {
      if (!this.#running || generation !== this.#generation) return;
      this.#lastKnown = message.seq + message.info.pending;
      this.#take(message.seq, message.data);
      if (this.#tracker.unfinished >= this.#limit) await new Promise<void>((resolve) => (this.#room = resolve));
    }
    if (this.#running && generation === this.#generation) throw new Error("the consumer ended");
  }

  async #watchReader(messages: { status(): AsyncIterable<{ type: string }> }, generation: number): Promise<void> {
    for await (const status of messages.status()) {
      if (!this.#running || generation !== this.#generation) return;
      if (/^(heartbeats_missed|consumer_not_found|consumer_deleted|stream_not_found)$/.test(status.type) && this.#options.bus.connected) {
        return this.#restartReader();
      }
    }
  }

  #take(sequence: number, data: Uint8Array): void {
    if (sequence <= this.#lastRead) return;
    this.#lastRead = sequence;
    let entry: LogEntry;
    try {
      entry = decodeLogEntry(data);
    } catch (error) {
      // nothing of ours writes such a thing: passing over it must not stop the log
      this.#options.onProblem?.(`log entry ${sequence} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
      this.#tracker.read(sequence, "", 0, true);
      this.#tracker.advance();
      return;
    }
    const { origin, number } = entry;
    const item = entry.kind === "void" ? null : { entry, sequence };
    const passed: [number, Held | null][] = [];
    const verdict = this.#gate.offer(origin, number, item, performance.now(), (passedNumber, held) => passed.push([passedNumber, held]));
    this.#tracker.read(sequence, origin, number, verdict === "dropped");
    for (const [passedNumber, held] of passed) {
      if (held === null) this.#tracker.done(origin, passedNumber);
      else {
        this.#numbers.set(held.sequence, { origin, number: passedNumber });
        this.#options.onEntry(held.entry, held.sequence);
      }
    }
    if (verdict === "dropped") this.#tracker.advance();
  }

  #voidDeadGaps(): void {
    for (const { origin, missing, sinceMs } of this.#gate.gaps()) {
      if (performance.now() - sinceMs < GAP_MS || this.#options.isAlive(origin)) continue;
      this.#options.onProblem?.(`${missing.length} entries of ${origin}, which is dead, are given up`);
      for (const number of missing) this.#options.bus.append(subjects.log(this.#options.partition), encodeVoidEntry(origin, number), () => undefined);
    }
  }

  #writeCursor(): void {
    if (this.#writing || this.#tracker.cursor === this.#writtenCursor) return;
    void this.#store();
  }

  async #store(): Promise<void> {
    this.#writing = true;
    const sequence = this.#tracker.cursor;
    // of a dead origin nothing more comes once the log is drained: only then it is forgotten
    const drained = this.lag.entries === 0;
    const doneNext = this.#tracker.snapshot((origin) => !drained || this.#options.isAlive(origin));
    const value = encodeCursor({ version: 1, epoch: this.#options.epoch, sequence, doneNext });
    const result = await this.#kv.update(this.#key, value, this.#revision);
    this.#writing = false;
    if (result.kind === "ok") {
      this.#revision = result.revision;
      this.#writtenCursor = sequence;
    } else await this.#reread();
  }

  /** A write that was refused or has no answer: is the record still mine? */
  async #reread(): Promise<void> {
    try {
      const stored = await this.#kv.get(this.#key);
      if (stored && decodeCursor(stored.value).epoch === this.#options.epoch) {
        this.#revision = stored.revision;
        return;
      }
    } catch {
      return; // NATS is away: the next write tells
    }
    if (!this.#running) return;
    this.#halt();
    this.#options.onFenced();
  }

  #halt(): void {
    this.#running = false;
    this.#generation++;
    if (this.#timer) clearInterval(this.#timer);
    if (this.#gapTimer) clearInterval(this.#gapTimer);
    this.#stopListening();
    this.#closeReader();
    this.#room?.();
    this.#room = null;
  }

  /** Writes the cursor once more. */
  async stop(): Promise<void> {
    if (!this.#running) return;
    this.#halt();
    if (this.#tracker.cursor !== this.#writtenCursor && this.#options.bus.connected) await this.#store();
  }
}
