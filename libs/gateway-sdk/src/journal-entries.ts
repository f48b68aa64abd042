/**
 * What the journal says: the entries of the file and the state they add up to (pure).
 *
 * A command is `started` before its effect begins and `done` (with its result) after; `never` is a
 * promise not to run an id that was asked about and was not known. An entry may be forgotten only
 * when its result has been acknowledged and it is older than any command lives; the highest `seq`
 * forgotten becomes the lane's low-water mark, below which an unknown id is refused, never run.
 */
import { COMMAND_LIFE_MAX_MS, type CommandCode, type CommandError, type Lane, laneNames } from "@hawser/csg-protocol";

export type JournalEntry =
  | { readonly t: "install"; readonly id: string }
  | { readonly t: "mark"; readonly lane: Lane; readonly seq: number }
  | {
      readonly t: "started";
      readonly id: string;
      readonly lane: Lane;
      readonly seq: number;
      readonly method: string;
      readonly idempotent: boolean;
      readonly at: number;
    }
  | {
      readonly t: "done";
      readonly id: string;
      readonly lane: Lane;
      readonly seq: number;
      readonly at: number;
      readonly result?: unknown;
      readonly error?: CommandError;
    }
  | { readonly t: "never"; readonly id: string; readonly at: number }
  | { readonly t: "acked"; readonly ids: readonly string[] };

export interface JournalRecord {
  readonly id: string;
  state: "started" | "done" | "never";
  readonly lane: Lane;
  readonly seq: number;
  readonly method: string;
  readonly idempotent: boolean;
  at: number;
  code: CommandCode | null;
  result: unknown;
  error: CommandError | null;
  acked: boolean;
}

/** Acknowledged entries beyond this many are forgotten although they are young. */
const RECORDS_MAX = 10_000;

export class JournalState {
  installId = "";
  readonly marks: Record<Lane, number> = { query: 0, config: 0, task: 0 };
  /** Highest `seq` ever journaled. */
  readonly high: Record<Lane, number> = { query: 0, config: 0, task: 0 };
  readonly records = new Map<string, JournalRecord>();

  apply(entry: JournalEntry): void {
    switch (entry.t) {
      case "install":
        this.installId = entry.id;
        return;
      case "mark":
        this.marks[entry.lane] = Math.max(this.marks[entry.lane], entry.seq);
        this.#reach(entry.lane, entry.seq);
        return;
      case "started":
        this.#reach(entry.lane, entry.seq);
        this.records.set(entry.id, { ...blank, ...startedOf(entry), state: "started" });
        return;
      case "done": {
        this.#reach(entry.lane, entry.seq);
        const before = this.records.get(entry.id);
        const { id, lane, seq, at, result, error } = entry;
        this.records.set(id, {
          ...blank,
          ...(before ? { method: before.method, idempotent: before.idempotent } : {}),
          id,
          lane,
          seq,
          at,
          state: "done",
          code: error?.code ?? "OK",
          result: result ?? null,
          error: error ?? null,
        });
        return;
      }
      case "never":
        this.records.set(entry.id, { ...blank, id: entry.id, at: entry.at, state: "never", acked: true });
        return;
      case "acked":
        for (const id of entry.ids) {
          const record = this.records.get(id);
          if (record && record.state === "done") record.acked = true;
        }
        return;
    }
  }

  #reach(lane: Lane, seq: number): void {
    this.high[lane] = Math.max(this.high[lane], seq);
  }


  /** Forgets what may be forgotten, oldest first. @returns whether the file can be made shorter */
  prune(now: number): boolean {
    let excess = this.records.size - RECORDS_MAX;
    let pruned = false;
    for (const record of this.records.values()) {
      if (!record.acked || (record.at + COMMAND_LIFE_MAX_MS > now && excess <= 0)) continue;
      excess -= 1;
      pruned = true;
      this.records.delete(record.id);
      if (record.state !== "never") this.marks[record.lane] = Math.max(this.marks[record.lane], record.seq);
    }
    return pruned;
  }

  /** The shortest journal with the same meaning. */
  *snapshot(): Generator<JournalEntry> {
    yield { t: "install", id: this.installId };
    for (const lane of laneNames) {
      if (this.marks[lane] > 0) yield { t: "mark", lane, seq: this.marks[lane] };
    }
    const acked: string[] = [];
    for (const { id, state, lane, seq, method, idempotent, at, result, error, acked: isAcked } of this.records.values()) {
      if (state === "never") yield { t: "never", id, at };
      if (method !== "" && state !== "never") yield { t: "started", id, lane, seq, method, idempotent, at };
      if (state === "done") yield { t: "done", id, lane, seq, at, result, ...(error ? { error } : {}) };
      if (isAcked && state === "done") acked.push(id);
    }
    for (let at = 0; at < acked.length; at += 100) yield { t: "acked", ids: acked.slice(at, at + 100) };
  }
}

function startedOf({ t: _t, ...started }: JournalEntry & { t: "started" }): Omit<typeof started, "t"> {
  return started;
}

const blank = {
  lane: "task" as Lane,
  seq: 0,
  method: "",
  idempotent: false,
  code: null,
  result: null,
  error: null,
  acked: false,
};
