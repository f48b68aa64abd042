/** Latencies by counting: 20 us per step up to 4 s, so that recording one costs an increment. */
const STEP_MS = 0.02;
const STEPS = 200_000;

export class LatencyCounts {
  readonly #counts = new Uint32Array(STEPS);
  #total = 0;

  record(latencyMs: number): void {
    const step = Math.floor(latencyMs / STEP_MS);
    this.#counts[step < STEPS ? step : STEPS - 1]!++;
    this.#total++;
  }

  get total(): number {
    return this.#total;
  }

  /** @param part 0 to 1 @returns milliseconds, NaN when nothing was recorded */
  percentile(part: number): number {
    if (this.#total === 0) return Number.NaN;
    const wanted = Math.ceil(this.#total * part);
    let seen = 0;
    for (let step = 0; step < STEPS; step++) {
      seen += this.#counts[step]!;
      if (seen >= wanted) return (step + 1) * STEP_MS;
    }
    return STEPS * STEP_MS;
  }

  clear(): void {
    this.#counts.fill(0);
    this.#total = 0;
  }
}
