/**
 * The gate every consumer of the log passes entries through: per origin, numbers 1, 2, 3 ... come
 * out once and in order, whatever order and however often they stand in the log.
 *
 *   number = next      it goes on, and after it what was held behind it
 *   number < next      a repetition (a retried append): dropped
 *   number > next      held until the gap is filled by the missing number or by its void entry
 *
 * An entry also says below which number everything of its origin was in the log before it was sent.
 * What is missing below that stands before the place where this consumer began to read (the log is
 * trimmed, or the origin was forgotten while it was silent): it is settled, not waited for.
 *
 * Pure but for its own state; time is given.
 */
export interface GateGap {
  readonly origin: string;
  /** Numbers that are missing before the first held one. */
  readonly missing: readonly number[];
  readonly sinceMs: number;
}

export interface GateSink<T> {
  /** In order per origin. @param item null: a void entry took the number */
  passed(origin: string, number: number, item: T | null): void;
  /** Numbers from..to-1 stand before the place where reading began. */
  settled(origin: string, from: number, to: number): void;
}

export type GateVerdict = "passed" | "held" | "dropped";

interface Origin<T> {
  next: number;
  readonly held: Map<number, T | null>;
  gapSinceMs: number;
}

const MAX_MISSING = 1_000;

export class SequenceGate<T> {
  readonly #sink: GateSink<T>;
  readonly #origins = new Map<string, Origin<T>>();

  /** @param next the number each origin goes on with */
  constructor(sink: GateSink<T>, next: Readonly<Record<string, number>> = {}) {
    this.#sink = sink;
    for (const origin in next) this.#origins.set(origin, { next: next[origin]!, held: new Map(), gapSinceMs: 0 });
  }

  /**
   * The next entry of the log.
   * @param item null for a void entry: it takes the number, nothing goes on for it
   * @returns "dropped" when the number was seen before, whether it passed or is held
   */
  offer(origin: string, number: number, settledBelow: number, item: T | null, nowMs: number): GateVerdict {
    const state = this.#stateOf(origin);
    this.#settle(origin, state, Math.min(settledBelow, number), nowMs);
    if (number < state.next || state.held.has(number)) return "dropped";
    if (number > state.next) {
      if (state.held.size === 0) state.gapSinceMs = nowMs;
      state.held.set(number, item);
      return "held";
    }
    state.next++;
    this.#sink.passed(origin, number, item);
    this.#release(origin, state, nowMs);
    return "passed";
  }

  /** Numbers below `below` that have not been seen will not come any more. */
  settle(origin: string, below: number, nowMs: number): void {
    this.#settle(origin, this.#stateOf(origin), below, nowMs);
  }

  #stateOf(origin: string): Origin<T> {
    let state = this.#origins.get(origin);
    if (!state) this.#origins.set(origin, (state = { next: 1, held: new Map(), gapSinceMs: 0 }));
    return state;
  }

  #settle(origin: string, state: Origin<T>, below: number, nowMs: number): void {
    while (state.next < below) {
      let to = below;
      for (const number of state.held.keys()) to = Math.min(to, number);
      this.#sink.settled(origin, state.next, to);
      state.next = to;
      this.#release(origin, state, nowMs);
    }
  }

  /** What was held goes on as far as there is no gap. */
  #release(origin: string, state: Origin<T>, nowMs: number): void {
    while (state.held.size > 0) {
      const { next } = state;
      const waiting = state.held.get(next);
      if (waiting === undefined) {
        state.gapSinceMs = nowMs;
        return;
      }
      state.held.delete(next);
      state.next++;
      this.#sink.passed(origin, next, waiting);
    }
  }

  get heldCount(): number {
    let count = 0;
    for (const { held } of this.#origins.values()) count += held.size;
    return count;
  }

  /** At most the first 1,000 missing numbers per origin. */
  gaps(): GateGap[] {
    const gaps: GateGap[] = [];
    for (const [origin, state] of this.#origins) {
      if (state.held.size === 0) continue;
      const first = Math.min(...state.held.keys());
      const missing = Array.from({ length: Math.min(first - state.next, MAX_MISSING) }, (_, at) => state.next + at);
      gaps.push({ origin, missing, sinceMs: state.gapSinceMs });
    }
    return gaps;
  }
}
