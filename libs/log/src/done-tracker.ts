/**
 * How far a consumer has come: the cursor moves over an entry when the entry and every lower number
 * of its origin are done, so that a restart at the cursor neither loses an entry that stood behind
 * a gap nor waits for one that lies before the cursor. `doneNext` is stored with the cursor: numbers
 * below it are done, wherever they stand in the log.
 */
interface Tracked {
  readonly sequence: number;
  readonly origin: string;
  readonly number: number;
  /** A repetition: nothing to be done for it. */
  readonly dropped: boolean;
}

export class DoneTracker {
  readonly #entries: Tracked[] = [];
  #head = 0;
  readonly #done = new Map<string, Set<number>>();
  readonly #doneNext: Map<string, number>;
  /** Log sequence up to which everything is done. */
  cursor: number;

  constructor(cursor: number, doneNext: Readonly<Record<string, number>>) {
    this.cursor = cursor;
    this.#doneNext = new Map(Object.entries(doneNext));
  }

  /** In log order. */
  read(sequence: number, origin: string, number: number, dropped: boolean): void {
    this.#entries.push({ sequence, origin, number, dropped });
  }

  done(origin: string, number: number): void {
    this.doneRange(origin, number, number + 1);
  }

  /** Numbers from..to-1. */
  doneRange(origin: string, from: number, to: number): void {
    let next = this.#doneNext.get(origin) ?? 1;
    if (to <= next) return this.advance();
    let waiting = this.#done.get(origin);
    if (from <= next) next = to;
    else {
      if (!waiting) this.#done.set(origin, (waiting = new Set()));
      for (let number = from; number < to; number++) waiting.add(number);
    }
    if (waiting) {
      for (const number of waiting) if (number < next) waiting.delete(number);
      while (waiting.delete(next)) next++;
      if (waiting.size === 0) this.#done.delete(origin);
    }
    this.#doneNext.set(origin, next);
    this.advance();
  }

  advance(): void {
    for (; this.#head < this.#entries.length; this.#head++) {
      const entry = this.#entries[this.#head]!;
      if (!entry.dropped && entry.number >= (this.#doneNext.get(entry.origin) ?? 1)) break;
      this.cursor = entry.sequence;
    }
    if (this.#head > 1024) {
      this.#entries.splice(0, this.#head);
      this.#head = 0;
    }
  }

  get unfinished(): number {
    return this.#entries.length - this.#head;
  }

  /** @param keep origins that may still append; of others only those with unfinished entries are kept */
  snapshot(keep: (origin: string) => boolean): Record<string, number> {
    const open = new Set(this.#entries.slice(this.#head).map(({ origin }) => origin));
    const snapshot: Record<string, number> = {};
    for (const [origin, next] of this.#doneNext) if (open.has(origin) || keep(origin)) snapshot[origin] = next;
    return snapshot;
  }
}
