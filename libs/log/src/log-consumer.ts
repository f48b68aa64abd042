/**
 * One consumer of one partition of the log. It reads the stream from its cursor, passes entries
 * through the gate (sequence-gate.ts), hands them on, and moves the cursor when they are done. The
 * cursor record is stamped with the owner's epoch before the first entry is handed on and written by
 * compare-and-set (cursor-record.ts), so a stale owner learns at its next write that it is one.
 *
 * Entries go on in the order of their origin's numbers, which is not always that of the log: one that
 * was held behind a gap follows others that stand after it. It is late, also when the next owner
 * hands it on again: who tells repetitions by the log sequence must not take it for one.
 *
 * A gap whose origin is dead is voided: a void entry for each missing number is appended. Records and
 * void of a number exclude each other (message-id.ts), so this is safe even when the origin lives.
 */
import { StreamReader, type Bus } from "@hawser/bus";
import { decodeLogEntry, encodeVoidEntry, FORMAT_VERSION, streams, subjects, type LogEntry } from "@hawser/wire";
import { CursorRecord } from "./cursor-record.ts";
import { DoneTracker } from "./done-tracker.ts";
import { messageId } from "./message-id.ts";
import { SequenceGate } from "./sequence-gate.ts";

export interface LogConsumerOptions {
  readonly bus: Bus;
  /** `inbox`, `actor`, `rocketmq.<cluster>`. */
  readonly name: string;
  readonly partition: number;
  readonly epoch: number;
  /** Whether the member of this boot may still append. */
  readonly isAlive: (origin: string) => boolean;
  /** An entry that goes on, in order per origin; call done(sequence) when it is finished. `late`: behind a higher sequence. */
  readonly onEntry: (entry: LogEntry, sequence: number, late: boolean) => void;
  /** The cursor has a newer owner: stop at once. */
  readonly onFenced: () => void;
  readonly onProblem?: (problem: string) => void;
  /** Entries handed on and not done before reading pauses, default 64. */
  readonly maxUnfinishedEntries?: number;
}

const MAX_UNFINISHED = 64;
const CURSOR_EVERY_MS = 200;
const GAP_MS = 2_000;
const LOOK_EVERY_MS = 500;

interface Held {
  readonly entry: LogEntry;
  readonly sequence: number;
}

interface Passed {
  readonly origin: string;
  readonly number: number;
  readonly held: Held | null;
}

export class LogConsumer {
  readonly #options: LogConsumerOptions;
  readonly #record: CursorRecord;
  readonly #reader: StreamReader;
  #gate = new SequenceGate<Held>(this.#sink());
  #tracker = new DoneTracker(0, {});
  /** Handed on and not done, by log sequence. */
  readonly #unfinished = new Map<number, Passed>();
  /** Highest log sequence that was handed on. */
  #handedTo = 0;
  /** Unfinished ones that were handed on behind a higher one, by this owner or one before. */
  readonly #late = new Set<number>();
  /** What one entry has let through. */
  #passed: Passed[] = [];
  readonly #voiding = new Set<string>();
  #writtenCursor = -1;
  #writing: Promise<void> | null = null;
  #running = false;
  #timers: NodeJS.Timeout[] = [];

  constructor(options: LogConsumerOptions) {
    this.#options = options;
    const { bus, name, partition, epoch } = options;
    this.#record = new CursorRecord(bus, name, partition, epoch);
    this.#reader = new StreamReader({
      bus,
      stream: streams.log(partition),
      maxInFlight: options.maxUnfinishedEntries ?? MAX_UNFINISHED,
      onMessage: (sequence, data) => this.#take(sequence, data),
      onProblem: (problem) => options.onProblem?.(problem),
    });
  }

  /** Everything up to this log sequence is done. */
  get position(): number {
    return this.#tracker.cursor;
  }

  /** Entries of the log that are not done, as far as this consumer has heard. */
  get lag(): { readonly entries: number } {
    return { entries: Math.max(0, this.#reader.lastKnown - this.#tracker.cursor) };
  }

  /** @returns false when the cursor belongs to a newer owner. @throws when NATS is away */
  async start(): Promise<boolean> {
    const cursor = await this.#record.claim();
    if (cursor === null) return false;
    let { sequence } = cursor;
    const { first, last } = await this.#reader.bounds();
    if (last < sequence) {
      this.#options.onProblem?.(`the log ends at ${last} but its cursor is ${sequence}: read from the beginning`);
      sequence = 0;
    }
    sequence = Math.max(sequence, first - 1); // what was trimmed before this consumer existed
    this.#gate = new SequenceGate(this.#sink(), cursor.doneNext);
    this.#tracker = new DoneTracker(sequence, cursor.doneNext);
    this.#writtenCursor = cursor.sequence;
    for (const late of cursor.late ?? []) this.#late.add(late);
    this.#running = true;
    this.#timers = [setInterval(() => this.#writeCursor(), CURSOR_EVERY_MS), setInterval(() => this.#voidDeadGaps(), LOOK_EVERY_MS)];
    this.#reader.start(sequence + 1);
    return true;
  }

  /** Every entry that was handed on, in any order. */
  done(sequence: number): void {
    const entry = this.#unfinished.get(sequence);
    if (!entry) return;
    this.#unfinished.delete(sequence);
    this.#late.delete(sequence);
    this.#tracker.done(entry.origin, entry.number);
    if (this.#unfinished.size < this.#limit) this.#reader.resume();
  }

  get #limit(): number {
    return this.#options.maxUnfinishedEntries ?? MAX_UNFINISHED;
  }

  #sink() {
    return {
      passed: (origin: string, number: number, held: Held | null) => void this.#passed.push({ origin, number, held }),
      settled: (origin: string, from: number, to: number) => this.#tracker.doneRange(origin, from, to),
    };
  }

  /** @throws when the entry is of a format that is not known: reading stops, nothing is passed over */
  #take(sequence: number, data: Buffer): void {
    if (data[0] !== FORMAT_VERSION) throw new Error(`log entry ${sequence} has format version ${data[0]}, which is not known here`);
    let entry: LogEntry;
    try {
      entry = decodeLogEntry(data);
    } catch (error) {
      // nothing of ours writes such a thing: passing over it must not stop the log
      this.#options.onProblem?.(`log entry ${sequence} cannot be read: ${String(error)}`);
      this.#tracker.read(sequence, "", 0, true);
      this.#tracker.advance();
      return;
    }
    const { origin, number } = entry;
    const verdict = this.#gate.offer(origin, number, entry.settledBelow, entry.kind === "void" ? null : { entry, sequence }, performance.now());
    this.#tracker.read(sequence, origin, number, verdict === "dropped");
    this.#tracker.advance();
    this.#handOn();
  }

  #handOn(): void {
    const passed = this.#passed;
    if (passed.length === 0) return;
    this.#passed = [];
    for (const item of passed) {
      if (item.held === null) this.#tracker.done(item.origin, item.number);
      else this.#unfinished.set(item.held.sequence, item);
    }
    if (this.#unfinished.size >= this.#limit) this.#reader.pause();
    for (const { held } of passed) if (held !== null && this.#running) this.#pass(held);
  }

  #pass({ entry, sequence }: Held): void {
    if (sequence < this.#handedTo) this.#late.add(sequence);
    else this.#handedTo = sequence;
    this.#options.onEntry(entry, sequence, this.#late.has(sequence));
  }

  #voidDeadGaps(): void {
    const { bus, partition, isAlive, onProblem } = this.#options;
    if (!bus.connected) return;
    for (const { origin, missing, sinceMs } of this.#gate.gaps()) {
      if (performance.now() - sinceMs < GAP_MS || isAlive(origin)) continue;
      const fresh = missing.filter((number) => !this.#voiding.has(`${origin}.${number}`));
      if (fresh.length > 0) onProblem?.(`${fresh.length} entries of ${origin}, which is dead, are given up`);
      for (const number of fresh) {
        const key = `${origin}.${number}`;
        this.#voiding.add(key);
        const headers = messageId(origin, number);
        bus.append(subjects.log(partition), encodeVoidEntry(origin, number), (result) => {
          this.#voiding.delete(key);
          // what stands where reading has passed already was there before it began
          if (this.#running && result.kind === "stored" && result.sequence <= this.#reader.lastRead) this.#settle(origin, number);
        }, { headers });
      }
    }
  }

  #settle(origin: string, number: number): void {
    this.#gate.settle(origin, number + 1, performance.now());
    this.#handOn();
  }

  #writeCursor(): void {
    if (this.#writing || this.#tracker.cursor === this.#writtenCursor) return;
    this.#writing = this.#store().finally(() => (this.#writing = null));
  }

  async #store(): Promise<void> {
    const sequence = this.#tracker.cursor;
    // of a dead origin nothing more comes once the log is drained: only then it is forgotten
    const drained = this.lag.entries === 0;
    const doneNext = this.#tracker.snapshot((origin) => !drained || this.#options.isAlive(origin));
    const written = await this.#record.write({ sequence, doneNext, late: [...this.#late] });
    if (written === "ok") this.#writtenCursor = sequence;
    else if (written === "fenced" && this.#running) {
      this.#halt();
      this.#options.onFenced();
    }
  }

  #halt(): void {
    this.#running = false;
    for (const timer of this.#timers) clearInterval(timer);
    this.#reader.stop();
  }

  /** Hands on nothing more and writes the cursor once more. */
  async stop(): Promise<void> {
    if (!this.#running) return;
    this.#halt();
    await this.#writing;
    if (this.#tracker.cursor !== this.#writtenCursor && this.#options.bus.connected) await this.#store();
  }
}
