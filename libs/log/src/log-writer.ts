/**
 * Appending to the log by self-clocking group commit.
 *
 * What is appended while commits are in flight forms the next entry: an entry is sent at the end of
 * the tick when fewer than `commitsInFlight` are on their way in that partition, else when one
 * returns. Entries carry numbers 1, 2, 3 ... per (origin, partition). An append that is refused or
 * whose answer is lost is repeated with the same number and the same bytes, so consumers see it
 * once. After `giveUpMs` its publishers learn that it failed, and the number is given up: a void
 * entry is appended until the log has it, so that consumers do not wait for the number.
 *
 * Callbacks come in the order of the appends of a partition. docs/adr/0006, 0007.
 */
import type { Bus } from "@hawser/bus";
import { encodeLogEntry, encodeVoidEntry, ENTRY_MAX_RECORDS, subjects, type LogRecord } from "@hawser/wire";

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
  readonly maxEntryBytes: number;
  readonly commitsInFlight: number;
  readonly giveUpMs: number;
  /** Told how long a commit took and how many records it had. */
  readonly onCommit?: (partition: number, records: number, sizeBytes: number, durationMs: number) => void;
  readonly onFailure?: (partition: number, reason: string) => void;
}

const RETRY_MS = 250;
const SWEEP_MS = 250;
/** Distinct destination sets of one entry; encodeLogEntry allows 255. */
const MAX_SETS = 200;

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
  /** Some try had no answer: it may be in the log. */
  ambiguous: boolean;
  outcome: AppendOutcome | null;
  sequence: number;
  voided: boolean;
}

interface Partition {
  readonly index: number;
  queue: Waiting[];
  queueBytes: number;
  readonly commits: Commit[];
  /** Commits that occupy a place in flight, given-up ones until their void is stored. */
  inFlight: number;
  number: number;
  scheduled: boolean;
}

export class LogWriter {
  readonly #options: LogWriterOptions;
  readonly #partitions: Partition[];
  readonly #sweep: NodeJS.Timeout;
  #stopped = false;

  constructor(options: LogWriterOptions) {
    this.#options = options;
    this.#partitions = Array.from({ length: options.partitions }, (_, index) => ({
      index,
      queue: [],
      queueBytes: 0,
      commits: [],
      inFlight: 0,
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
    state.queueBytes += record.body.length;
    this.#schedule(state);
  }

  get pendingMessages(): number {
    return this.#partitions.reduce((sum, { queue, commits }) => sum + queue.length + commits.reduce((n, { waiting }) => n + waiting.length, 0), 0);
  }

  get pendingBytes(): number {
    return this.#partitions.reduce((sum, { queueBytes, commits }) => sum + queueBytes + commits.reduce((n, { bytes }) => n + bytes.length, 0), 0);
  }

  /** Resolves when everything appended so far has its outcome. */
  async flushed(): Promise<void> {
    while (this.pendingMessages > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  }

  stop(): void {
    this.#stopped = true;
    clearInterval(this.#sweep);
  }

  #schedule(state: Partition): void {
    if (state.scheduled || state.queue.length === 0 || state.inFlight >= this.#options.commitsInFlight || this.#stopped) return;
    state.scheduled = true;
    setImmediate(() => {
      state.scheduled = false;
      while (state.queue.length > 0 && state.inFlight < this.#options.commitsInFlight) this.#commit(state);
    });
  }

  #commit(state: Partition): void {
    const waiting = this.#take(state);
    const number = ++state.number;
    const commit: Commit = {
      number,
      bytes: encodeLogEntry(this.#options.origin, number, waiting.map(({ record }) => record)),
      waiting,
      sinceMs: waiting[0]!.sinceMs,
      ambiguous: false,
      outcome: null,
      sequence: 0,
      voided: false,
    };
    state.commits.push(commit);
    state.inFlight++;
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
    state.queueBytes -= sizeBytes;
    if (count === state.queue.length) {
      const all = state.queue;
      state.queue = [];
      return all;
    }
    return state.queue.splice(0, count);
  }

  #send(state: Partition, commit: Commit): void {
    const startedMs = performance.now();
    this.#options.bus.append(subjects.log(state.index), commit.bytes, (result) => {
      if (this.#stopped) return;
      if (result.kind === "stored") {
        if (commit.voided) return this.#release(state);
        commit.sequence = result.sequence;
        this.#options.onCommit?.(state.index, commit.waiting.length, commit.bytes.length, performance.now() - startedMs);
        this.#release(state);
        return this.#resolve(state, commit, "stored");
      }
      if (result.kind === "unknown") commit.ambiguous = true;
      this.#options.onFailure?.(state.index, result.kind === "refused" ? result.reason : "no answer");
      if (!commit.voided && performance.now() - commit.sinceMs >= this.#options.giveUpMs) {
        commit.voided = true;
        commit.bytes = encodeVoidEntry(this.#options.origin, commit.number);
        this.#resolve(state, commit, commit.ambiguous ? "ambiguous" : "refused");
      }
      setTimeout(() => this.#stopped || this.#send(state, commit), RETRY_MS);
    });
  }

  #release(state: Partition): void {
    state.inFlight--;
    this.#schedule(state);
  }

  /** A later commit may be stored before an earlier one: callbacks still come in order. */
  #resolve(state: Partition, commit: Commit, outcome: AppendOutcome): void {
    commit.outcome = outcome;
    while (state.commits.length > 0 && state.commits[0]!.outcome !== null) {
      const { waiting, outcome: known, sequence } = state.commits.shift()!;
      for (let index = 0; index < waiting.length; index++) {
        waiting[index]!.done(known!, known === "stored" ? { sequence, index } : undefined);
      }
    }
  }

  /** What never got into a commit in time was certainly not stored. */
  #expireQueues(): void {
    const before = performance.now() - this.#options.giveUpMs;
    for (const state of this.#partitions) {
      if (state.commits.some(({ outcome }) => outcome === null)) continue;
      while (state.queue.length > 0 && state.queue[0]!.sinceMs < before) {
        const { record, done } = state.queue.shift()!;
        state.queueBytes -= record.body.length;
        done("refused");
      }
    }
  }
}
