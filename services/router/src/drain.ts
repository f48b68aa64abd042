import type { LogEntry } from "@hawser/wire";

/** One kind of destination of one partition: takes entries, says which are finished. */
export interface Drain {
  /** In the order of their origin. `late`: entries that stand behind it in the log have been taken already. */
  take(entry: LogEntry, sequence: number, late: boolean): void;
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
