import type { LogEntry } from "@hawser/wire";

/** One kind of destination of one partition: takes entries, says which are finished. */
export interface Drain {
  /** An entry in the order of the log. */
  take(entry: LogEntry, sequence: number): void;
  /** Entries taken and not finished. */
  readonly open: number;
  /** Nothing is begun any more; what is on its way may still finish. */
  stop(): void;
}

/** What a drain needs of the partition it belongs to. */
export interface DrainContext {
  readonly partition: number;
  /** This process still owns the partition under the epoch it took it with, and is sure of it. */
  readonly mayAct: () => boolean;
  readonly finished: (sequence: number) => void;
}
