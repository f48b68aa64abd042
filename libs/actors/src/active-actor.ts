/**
 * One actor in memory and its output gate. Turns run one after the other and may run ahead of the
 * store; their effects leave in order, each when the records of its turn and of all turns before are
 * safe. While a write is under way, later writes of the actor collect into the next one.
 */
import type { ActorKey, RecordWrite } from "./behaviour.ts";

export class ActiveActor<S, M, E> {
  readonly key: ActorKey;
  readonly epoch: number;
  /** Null while its records are loaded. */
  state: S | null = null;
  readonly mailbox: M[] = [];
  readonly revisions = new Map<string, number>();
  /** Effects of turns whose records are not safe yet, oldest first. */
  gated: E[] = [];
  #dirty = new Map<string, Buffer | null>();
  running = false;
  writing = false;
  dropped = false;
  lastUsedMs: number;

  constructor(key: ActorKey, epoch: number, nowMs: number) {
    this.key = key;
    this.epoch = epoch;
    this.lastUsedMs = nowMs;
  }

  collect(writes: readonly RecordWrite[], effects: readonly E[]): void {
    for (const { suffix, value } of writes) this.#dirty.set(suffix, value);
    for (const effect of effects) this.gated.push(effect);
  }

  get dirty(): boolean {
    return this.#dirty.size > 0;
  }

  /** Whether effects may leave at once: nothing before them waits for the store. */
  get open(): boolean {
    return !this.writing && this.#dirty.size === 0;
  }

  /** What must be written next, and the effects it opens the gate for. */
  takeBatch(): { readonly writes: Map<string, Buffer | null>; readonly effects: E[] } {
    const batch = { writes: this.#dirty, effects: this.gated };
    this.#dirty = new Map();
    this.gated = [];
    return batch;
  }
}
