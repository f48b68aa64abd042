import type { KvEntry } from "@hawser/bus";
import type { ActiveActor } from "./active-actor.ts";
import { type ActorRecord, decodeActorRecord } from "./actor-record.ts";

export interface LoadedRecord {
  readonly suffix: string;
  /** Null: it cannot be read. */
  readonly record: ActorRecord | null;
  readonly revision: number;
}

/** Key: `<shard>.<token>` or `<shard>.<token>.<suffix>`. */
export function loadRecord({ key, value, revision }: KvEntry): LoadedRecord {
  const suffix = key.split(".")[2] ?? "";
  try {
    return { suffix, record: decodeActorRecord(value), revision };
  } catch {
    return { suffix, record: null, revision };
  }
}

/** One owned shard: its actors in memory, and which actors have records. */
export class OpenShard<S, M, E> {
  readonly epoch: number;
  readonly actors = new Map<string, ActiveActor<S, M, E>>();
  /** Tokens with records: an actor without one is created without asking the store. */
  readonly stored: Set<string>;
  /** What was read when the shard was opened. Each is true until its actor has written: used once. */
  #preloaded = new Map<string, LoadedRecord[]>();

  constructor(epoch: number, entries: readonly KvEntry[]) {
    this.epoch = epoch;
    for (const entry of entries) {
      const token = entry.key.split(".")[1] ?? "";
      const loaded = this.#preloaded.get(token);
      if (loaded) loaded.push(loadRecord(entry));
      else this.#preloaded.set(token, [loadRecord(entry)]);
    }
    this.stored = new Set(this.#preloaded.keys());
  }

  /** @returns the records of an actor when they are known (none, for a new one); undefined: they must be read */
  preloaded(token: string): readonly LoadedRecord[] | undefined {
    const loaded = this.#preloaded.get(token);
    if (loaded) this.#preloaded.delete(token);
    return loaded ?? (this.stored.has(token) ? undefined : []);
  }

  /** Actors that have not been started, with their records. */
  takePreloaded(): ReadonlyMap<string, LoadedRecord[]> {
    const preloaded = this.#preloaded;
    this.#preloaded = new Map();
    return preloaded;
  }

  /** Something accepted has not been decided, stored or said. */
  get busy(): boolean {
    for (const actor of this.actors.values()) if (!actor.settled || actor.mailbox.length > 0) return true;
    return false;
  }

  forget(): void {
    for (const actor of this.actors.values()) actor.dropped = true;
    this.actors.clear();
  }
}
