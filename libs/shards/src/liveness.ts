/**
 * Who is alive, judged from heartbeats; pure, with the time given (a monotonic clock).
 *
 * I am healthy while the newest of my own heartbeats that came back was sent less than selfMs ago.
 * A member nobody has heard for deadMs is dead, counted from when I heard it. While I cannot hear
 * myself I judge nobody, and after that everybody gets a fresh deadMs: my outage is not theirs.
 */
export interface LivenessTimes {
  readonly selfMs: number;
  readonly deadMs: number;
}

export class Liveness {
  readonly #self: string;
  readonly #times: LivenessTimes;
  readonly #heardAtMs = new Map<string, number>();
  readonly #startedAtMs: number;
  #ownSentAtMs = Number.NEGATIVE_INFINITY;
  #wasHealthy = false;

  constructor(self: string, times: LivenessTimes, nowMs: number) {
    this.#self = self;
    this.#times = times;
    this.#startedAtMs = nowMs;
  }

  /** @param sentAtMs of my own heartbeats: my clock when it was sent */
  heard(member: string, sentAtMs: number, nowMs: number): void {
    if (member === this.#self) this.#ownSentAtMs = Math.max(this.#ownSentAtMs, sentAtMs);
    this.#heardAtMs.set(member, nowMs);
  }

  healthy(nowMs: number): boolean {
    return nowMs - this.#ownSentAtMs < this.#times.selfMs;
  }

  /** Forget a member that said goodbye, or was found dead another way. */
  forget(member: string): void {
    this.#heardAtMs.delete(member);
  }

  knows(member: string): boolean {
    return this.#heardAtMs.has(member);
  }

  /** Members silent for longer than this, while I am healthy. */
  silent(forMs: number, nowMs: number): string[] {
    if (!this.#wasHealthy) return [];
    return [...this.#heardAtMs].filter(([member, at]) => member !== this.#self && nowMs - at > forMs).map(([member]) => member);
  }

  /** To be called regularly. @returns the members that are dead from now on */
  judge(nowMs: number): string[] {
    if (!this.healthy(nowMs)) {
      this.#wasHealthy = false;
      return [];
    }
    if (!this.#wasHealthy) {
      this.#wasHealthy = true;
      for (const member of this.#heardAtMs.keys()) this.#heardAtMs.set(member, nowMs);
    }
    const dead = this.silent(this.#times.deadMs, nowMs);
    for (const member of dead) this.#heardAtMs.delete(member);
    return dead;
  }

  /** Whether a member may be alive: heard, or I have not listened long enough to say. */
  mayBeAlive(member: string, nowMs: number): boolean {
    return member === this.#self || this.#heardAtMs.has(member) || nowMs - this.#startedAtMs < this.#times.deadMs || !this.#wasHealthy;
  }
}
