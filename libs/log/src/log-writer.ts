/**
 * Appending to the log by self-clocking group commit.
 *
 * What is appended while commits are in flight forms the next entry: an entry is sent at the end of
 * the tick when fewer than `commitsInFlight` are on their way in that partition, else when one
 * returns. Entries carry numbers 1, 2, 3 ... per (origin, partition). An append that is refused or
 * whose answer is lost is repeated with the same number and the same bytes, so consumers see it
 * once; meanwhile no further number is begun, so that little has to wait behind the gap. After
 * `giveUpMs` its publishers learn that it failed, and the number is given up: a void entry is
 * appended until the log has it, so that consumers do not wait for the number.
 *
 * Callbacks come in the order of the appends of a partition. docs/adr/0006, 0007.
 */
import type { Bus } from "@hawser/bus";
import { encodeLogEntry, encodeVoidEntry, ENTRY_MAX_RECORDS, subjects, type LogRecord } from "@hawser/wire";
import { findEntry } from "./find-entry.ts";
import { GIVE_UP_MAX_MS, messageId } from "./message-id.ts";

/** refused: certainly not in the log. ambiguous: it may be. */
export type AppendOutcome = "stored" | "refused" | "ambiguous";

/** Where a record stands: with its partition, the id of the message. */
export interface LogPlace {
  readonly sequence: number;
  readonly index: number;
}

export type AppendDone = (outcome: AppendOutcome, place?: LogPlace) => void;

export interface LogWriterOptions {
  readonly bus: Bus;
  /** Member name of this boot. */
  readonly origin: string;
  readonly partitions: number;
  /** Records' bytes of one entry; a larger record stands alone. */
  readonly maxEntryBytes: number;
  /** Per partition, 1 to 16. */
  readonly commitsInFlight: number;
  /** At most 90,000. */
  readonly giveUpMs: number;
  /** Told how long a commit took and how many records it had. */
  readonly onCommit?: (partition: number, records: number, sizeBytes: number, durationMs: number) => void;
  readonly onFailure?: (partition: number, reason: string) => void;
}

const RETRY_MS = 250;
const SWEEP_MS = 250;
/** Distinct destination sets of one entry; encodeLogEntry allows 255. */
const MAX_SETS = 200;
/** No consumer voids a gap that is younger (log-consumer.ts). */
const VOID_AFTER_MS = 2_000;

interface Waiting {
  readonly record: LogRecord;
  readonly done: AppendDone;
  readonly sinceMs: number;
}

interface Commit {
  readonly number: number;
  bytes: Buffer;
  readonly waiting: readonly Waiting[];
  readonly sinceMs: number;
  firstSentMs: number;
  /** Some try had no answer: it may be in the log. */
  ambiguous: boolean;
  failing: boolean;
  outcome: AppendOutcome | null;
  sequence: number;
  /** Given up: what is sent is the void of its number. */
  voided: boolean;
}

interface Partition {
  readonly index: number;
  queue: Waiting[];
  /** In the order of their numbers, until their outcome has been told. */
  readonly commits: Commit[];
  /** Those whose number does not stand in the log yet, given-up ones included. */
  inFlight: Commit[];
  number: number;
  scheduled: boolean;
}

export class LogWriter {
  readonly #options: LogWriterOptions;
  readonly #partitions: Partition[];
  readonly #sweep: NodeJS.Timeout;
  #flushWaiters: (() => void)[] = [];
  #pendingMessages = 0;
  #pendingBytes = 0;
  #stopped = false;

  constructor(options: LogWriterOptions) {
    if (options.giveUpMs > GIVE_UP_MAX_MS) throw new RangeError(`giveUpMs ${options.giveUpMs} is more than ${GIVE_UP_MAX_MS}`);
    this.#options = options;
    this.#partitions = Array.from({ length: options.partitions }, (_, index) => ({
      index,
      queue: [],
      commits: [],
      inFlight: [],
      number: 0,
      scheduled: false,
    }));
    this.#sweep = setInterval(() => this.#expireQueues(), SWEEP_MS);
    this.#sweep.unref();
  }

  append(partition: number, record: LogRecord, done: AppendDone): void {
    const state = this.#partitions[partition];
    if (!state) throw new RangeError(`partition ${partition} of ${this.#partitions.length}`);
    state.queue.push({ record, done, sinceMs: performance.now() });
    this.#pendingMessages++;
    this.#pendingBytes += record.body.length;
    this.#schedule(state);
  }

  /** Records without an outcome. */
  get pendingMessages(): number {
    return this.#pendingMessages;
  }

  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /** Resolves when everything appended so far has its outcome; at the latest giveUpMs from now, and a little. */
  async flushed(): Promise<void> {
    if (this.#pendingMessages > 0 && !this.#stopped) await new Promise<void>((resolve) => this.#flushWaiters.push(resolve));
  }

  /** What has no outcome yet gets none: flush first. */
  stop(): void {
    this.#stopped = true;
    clearInterval(this.#sweep);
    this.#tellFlushed();
  }

  #tellFlushed(): void {
    for (const resolve of this.#flushWaiters.splice(0)) resolve();
  }

  #mayCommit({ queue, inFlight }: Partition): boolean {
    return queue.length > 0 && inFlight.length < this.#options.commitsInFlight && !inFlight.some(({ failing }) => failing);
  }

  #schedule(state: Partition): void {
    if (state.scheduled || this.#stopped || !this.#mayCommit(state)) return;
    state.scheduled = true;
    setImmediate(() => {
      state.scheduled = false;
      while (!this.#stopped && this.#mayCommit(state)) this.#commit(state);
    });
  }

  #commit(state: Partition): void {
    const waiting = this.#take(state);
    const number = ++state.number;
    const settledBelow = state.inFlight[0]?.number ?? number;
    const commit: Commit = {
      number,
      bytes: encodeLogEntry(this.#options.origin, number, waiting.map(({ record }) => record), settledBelow),
      waiting,
      sinceMs: waiting[0]!.sinceMs,
      firstSentMs: performance.now(),
      ambiguous: false,
      failing: false,
      outcome: null,
      sequence: 0,
      voided: false,
    };
    state.commits.push(commit);
    state.inFlight.push(commit);
    this.#send(state, commit);
  }

  #take(state: Partition): Waiting[] {
    let sizeBytes = 0;
    let count = 0;
    const sets = new Set<object>();
    for (const { record } of state.queue) {
      sets.add(record.destinations);
      const full = sizeBytes + record.body.length > this.#options.maxEntryBytes || count >= ENTRY_MAX_RECORDS || sets.size > MAX_SETS;
      if (full && count > 0) break;
      sizeBytes += record.body.length;
      count++;
    }
    if (count === state.queue.length) {
      const all = state.queue;
      state.queue = [];
      return all;
    }
    return state.queue.splice(0, count);
  }

  #send(state: Partition, commit: Commit): void {
    if (this.#stopped) return;
    const nowMs = performance.now();
    if (!commit.voided && nowMs - commit.sinceMs >= this.#options.giveUpMs) this.#giveUp(state, commit);
    // what is certainly not sent leaves no doubt
    if (!this.#options.bus.connected) return this.#retry(state, commit, "NATS is away");
    const headers = messageId(this.#options.origin, commit.number);
    this.#options.bus.append(
      subjects.log(state.index),
      commit.bytes,
      (result) => {
        if (this.#stopped) return;
        if (result.kind === "stored") {
          if (commit.voided) return this.#settled(state, commit);
          if (result.duplicate && performance.now() - commit.firstSentMs >= VOID_AFTER_MS) return this.#verify(state, commit, result.sequence);
          return this.#stored(state, commit, result.sequence, nowMs);
        }
        if (result.kind === "unknown") commit.ambiguous = true;
        this.#retry(state, commit, result.kind === "refused" ? result.reason : "no answer");
      },
      { headers },
    );
  }

  #retry(state: Partition, commit: Commit, reason: string): void {
    commit.failing = true;
    this.#options.onFailure?.(state.index, reason);
    setTimeout(() => this.#send(state, commit), RETRY_MS);
  }

  #stored(state: Partition, commit: Commit, sequence: number, sentMs: number): void {
    commit.sequence = sequence;
    this.#options.onCommit?.(state.index, commit.waiting.length, commit.bytes.length, performance.now() - sentMs);
    this.#settled(state, commit);
    this.#resolve(state, commit, "stored");
  }

  /** A repetition was a duplicate: of an earlier copy, or of a void by somebody who took this member for dead. */
  #verify(state: Partition, commit: Commit, sequence: number): void {
    findEntry(this.#options.bus, state.index, sequence, (found) => {
      if (this.#stopped) return;
      if (found === "records") return this.#stored(state, commit, sequence, commit.firstSentMs);
      if (found === "unknown") return this.#retry(state, commit, "no answer");
      commit.voided = true;
      this.#settled(state, commit);
      this.#resolve(state, commit, found === "void" ? "refused" : "ambiguous");
    });
  }

  #giveUp(state: Partition, commit: Commit): void {
    commit.voided = true;
    commit.bytes = encodeVoidEntry(this.#options.origin, commit.number);
    this.#resolve(state, commit, commit.ambiguous ? "ambiguous" : "refused");
  }

  #settled(state: Partition, commit: Commit): void {
    state.inFlight = state.inFlight.filter((other) => other !== commit);
    this.#schedule(state);
  }

  /** A later commit may be stored before an earlier one: callbacks still come in order. */
  #resolve(state: Partition, commit: Commit, outcome: AppendOutcome): void {
    commit.outcome = outcome;
    while (state.commits.length > 0 && state.commits[0]!.outcome !== null) {
      const { waiting, outcome: known, sequence } = state.commits.shift()!;
      for (let index = 0; index < waiting.length; index++) {
        this.#tell(waiting[index]!, known!, known === "stored" ? { sequence, index } : undefined);
      }
    }
    if (this.#pendingMessages === 0) this.#tellFlushed();
  }

  #tell({ record, done }: Waiting, outcome: AppendOutcome, place?: LogPlace): void {
    this.#pendingMessages--;
    this.#pendingBytes -= record.body.length;
    done(outcome, place);
  }

  /** What never got into a commit in time was certainly not stored. */
  #expireQueues(): void {
    const before = performance.now() - this.#options.giveUpMs;
    for (const state of this.#partitions) {
      if (state.commits.length > 0) continue; // their outcomes come first
      let expired = 0;
      while (expired < state.queue.length && state.queue[expired]!.sinceMs < before) expired++;
      for (const waiting of state.queue.splice(0, expired)) this.#tell(waiting, "refused");
    }
    if (this.#pendingMessages === 0) this.#tellFlushed();
  }
}
