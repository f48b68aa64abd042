/**
 * One actor in memory and its output gate. Turns run one after the other and may run ahead of the
 * store: while a batch of records is under way, later writes of the actor collect into the next one.
 * The effects of a turn wait for the batch that holds its records (a turn that wrote nothing waits
 * for what earlier turns wrote), and leave in the order of the turns.
 */
import type { ActorKey, RecordWrite } from "./behaviour.ts";

interface Gated<E> {
  /** Number of the batch that must be safe. */
  readonly batch: number;
  readonly effects: readonly E[];
}

export class ActiveActor<S, M, E> {
  readonly key: ActorKey;
  readonly epoch: number;
  /** Null while its records are loaded. */
  state: S | null = null;
  readonly mailbox: M[];
  readonly revisions = new Map<string, number>();
  lastUsedMs: number;
  /** A turn is being decided. */
  running = false;
  /** Effects are leaving. */
  performing = false;
  /** A batch is on its way, or will be at the end of the tick. */
  writing = false;
  /** It threw: no more turns; what earlier turns decided is still stored and leaves. */
  failed = false;
  /** Forgotten: nothing of it matters any more. */
  dropped = false;
  #dirty = new Map<string, Buffer | null>();
  readonly #gate: Gated<E>[] = [];
  #batch = 0;
  #safe = 0;

  constructor(key: ActorKey, epoch: number, nowMs: number, mailbox: M[]) {
    this.key = key;
    this.epoch = epoch;
    this.lastUsedMs = nowMs;
    this.mailbox = mailbox;
  }

  collect(writes: readonly RecordWrite[], effects: readonly E[]): void {
    for (const { suffix, value } of writes) this.#dirty.set(suffix, value);
    if (effects.length > 0) this.#gate.push({ batch: this.dirty ? this.#batch + 1 : this.#batch, effects });
  }

  get dirty(): boolean {
    return this.#dirty.size > 0;
  }

  /** Turns whose effects have not left. */
  get gated(): number {
    return this.#gate.length;
  }

  /** Nothing is on its way to the store, and nothing waits to leave. */
  get settled(): boolean {
    return !this.running && !this.performing && !this.writing && !this.dirty && this.#gate.length === 0;
  }

  /** Whether effects of the turn that is running may leave at once: nothing is in front of them. */
  get open(): boolean {
    return !this.performing && !this.writing && !this.dirty && this.#gate.length === 0;
  }

  startBatch(): ReadonlyMap<string, Buffer | null> {
    const writes = this.#dirty;
    this.#dirty = new Map();
    this.#batch++;
    return writes;
  }

  /** The batch that was started last is safe. */
  endBatch(): void {
    this.writing = false;
    this.#safe = this.#batch;
  }

  /** Effects of the oldest turn, if they may leave. */
  takeEffects(): readonly E[] | undefined {
    const first = this.#gate[0];
    if (first === undefined || first.batch > this.#safe) return undefined;
    this.#gate.shift();
    return first.effects;
  }
}
