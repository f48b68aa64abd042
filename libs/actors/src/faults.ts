const LIMIT = 3;
const WINDOW_MS = 60_000;
const QUARANTINE_MS = 30_000;

/** Actors that threw. Three times within 60 s is quarantine: 30 s without a message. */
export class Faults {
  readonly #atMs = new Map<string, number[]>();

  add(token: string, nowMs: number): void {
    this.#atMs.set(token, [...(this.#atMs.get(token) ?? []).filter((at) => nowMs - at < WINDOW_MS), nowMs]);
  }

  quarantined(token: string, nowMs: number): boolean {
    const faults = this.#atMs.size === 0 ? undefined : this.#atMs.get(token);
    if (!faults || faults.length < LIMIT) return false;
    if (nowMs - faults.at(-1)! < QUARANTINE_MS) return true;
    this.#atMs.delete(token);
    return false;
  }

  /** Forgets what does not count any more. */
  sweep(nowMs: number): void {
    for (const [token, faults] of this.#atMs) if (nowMs - faults.at(-1)! >= WINDOW_MS) this.#atMs.delete(token);
  }
}
