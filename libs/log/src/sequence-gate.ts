/**
 * The gate every consumer of the log passes entries through: per origin, numbers 1, 2, 3 ... come
 * out once and in order, whatever order and however often they stand in the log.
 *
 *   number = next      it goes on, and after it what was held behind it
 *   number < next      a repetition (a retried append): dropped
 *   number > next      held until the gap is filled by the missing number or by its void entry
 *
 * Pure but for its own state; time is given.
 */
export interface GateGap {
  readonly origin: string;
  /** Numbers that are missing before the first held one. */
  readonly missing: readonly number[];
  readonly sinceMs: number;
}

interface Origin<T> {
  next: number;
  readonly held: Map<number, T | null>;
  gapSinceMs: number;
}

export class SequenceGate<T> {
  readonly #origins = new Map<string, Origin<T>>();

  /** @param next the number each origin goes on with */
  constructor(next: Readonly<Record<string, number>> = {}) {
    for (const origin in next) this.#origins.set(origin, { next: next[origin]!, held: new Map(), gapSinceMs: 0 });
  }

  /**
   * @param item null for a void entry: it takes the number, nothing goes on for it
   * @param onPassed told number and item (null: void) of everything that goes on, in order
   * @returns "dropped" when the number was seen before, whether it passed or is held
   */
  offer(origin: string, number: number, item: T | null, nowMs: number, onPassed: (number: number, item: T | null) => void): "passed" | "held" | "dropped" {
    let state = this.#origins.get(origin);
    if (!state) this.#origins.set(origin, (state = { next: 1, held: new Map(), gapSinceMs: 0 }));
    if (number < state.next || state.held.has(number)) return "dropped";
    if (number > state.next) {
      if (state.held.size === 0) state.gapSinceMs = nowMs;
      state.held.set(number, item);
      return "held";
    }
    state.next++;
    onPassed(number, item);
    while (state.held.size > 0) {
      const waiting = state.held.get(state.next);
      if (waiting === undefined) {
        state.gapSinceMs = nowMs;
        break;
      }
      state.held.delete(state.next);
      onPassed(state.next++, waiting);
    }
    return "passed";
  }

  get heldCount(): number {
    let count = 0;
    for (const { held } of this.#origins.values()) count += held.size;
    return count;
  }

  gaps(): GateGap[] {
    const gaps: GateGap[] = [];
    for (const [origin, state] of this.#origins) {
      if (state.held.size === 0) continue;
      const first = Math.min(...state.held.keys());
      const missing = Array.from({ length: first - state.next }, (_, at) => state.next + at);
      gaps.push({ origin, missing, sinceMs: state.gapSinceMs });
    }
    return gaps;
  }
}
