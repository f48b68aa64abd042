/**
 * One coarse timer for all connections. Time is counted in ticks of the wheel, not read from a
 * clock: a process that was stopped or blocked does not find all its clients overdue at once.
 */

/** Something with at most one timer. */
export interface WheelEntry {
  /** Slot it lies in, -1 = none; owned by the wheel. */
  wheelSlot: number;
  /** May come early (one turn of the wheel at most): the entry compares with its own deadline. @returns ticks until next, 0 = none */
  onTick(now: number): number;
}

export class TimerWheel {
  readonly tickMs: number;
  readonly #slots: Set<WheelEntry>[];
  #now = 0;

  constructor(tickMs = 250, slots = 512) {
    this.tickMs = tickMs;
    this.#slots = Array.from({ length: slots }, () => new Set());
  }

  /** Ticks since the start. */
  get now(): number {
    return this.#now;
  }

  /** At least this long: the tick that is running does not count. */
  ticksFor(durationMs: number): number {
    return Math.ceil(durationMs / this.tickMs) + 1;
  }

  /** Replaces the entry's timer. @param ticks at least 1 */
  schedule(entry: WheelEntry, ticks: number): void {
    this.cancel(entry);
    const slot = (this.#now + Math.max(1, Math.min(ticks, this.#slots.length - 1))) % this.#slots.length;
    this.#slots[slot]!.add(entry);
    entry.wheelSlot = slot;
  }

  cancel(entry: WheelEntry): void {
    if (entry.wheelSlot < 0) return;
    this.#slots[entry.wheelSlot]!.delete(entry);
    entry.wheelSlot = -1;
  }

  /** One tick has passed. */
  advance(): void {
    this.#now++;
    const due = this.#slots[this.#now % this.#slots.length]!;
    for (const entry of due) {
      due.delete(entry);
      entry.wheelSlot = -1;
      const next = entry.onTick(this.#now);
      if (next > 0) this.schedule(entry, next);
    }
  }
}
