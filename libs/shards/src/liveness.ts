/**
 * Who is alive, judged from heartbeats; pure, with the time given (a monotonic clock).
 *
 * I am healthy while the newest of my own heartbeats that came back was sent less than selfMs ago.
 * A member nobody has heard for deadMs is dead, counted from when I heard it, or from when I first
 * asked about it. While I cannot hear myself I judge nobody, and after that everybody gets a fresh
 * deadMs: my outage is not theirs.
 */
export interface LivenessTimes {
  readonly selfMs: number;
  readonly deadMs: number;
}

/** Names are unique per boot, so the dead never come back; only the latest are remembered. */
const DEAD_REMEMBERED = 1_000;

export class Liveness {
  readonly #self: string;
  readonly #times: LivenessTimes;
  readonly #heardAtMs = new Map<string, number>();
  readonly #dead = new Set<string>();
  #ownSentAtMs = Number.NEGATIVE_INFINITY;
  #wasHealthy = false;

  constructor(self: string, times: LivenessTimes) {
    this.#self = self;
    this.#times = times;
  }

  /** @param sentAtMs of my own heartbeats: my clock when it was sent */
  heard(member: string, sentAtMs: number, nowMs: number): void {
    if (member === this.#self) this.#ownSentAtMs = Math.max(this.#ownSentAtMs, sentAtMs);
    this.#dead.delete(member);
    this.#heardAtMs.set(member, nowMs);
  }

  healthy(nowMs: number): boolean {
    return nowMs - this.#ownSentAtMs < this.#times.selfMs;
  }

  /** It said goodbye, or was found dead another way. */
  bury(member: string): void {
    this.#heardAtMs.delete(member);
    this.#dead.add(member);
    if (this.#dead.size > DEAD_REMEMBERED) this.#dead.delete(this.#dead.values().next().value!);
  }

  /** Members silent for longer than this, while I am healthy. */
  silent(forMs: number, nowMs: number): string[] {
    if (!this.#wasHealthy) return [];
    return [...this.#heardAtMs.keys()].filter((member) => this.isSilent(member, forMs, nowMs));
  }

  isSilent(member: string, forMs: number, nowMs: number): boolean {
    const heardAtMs = this.#heardAtMs.get(member);
    return member !== this.#self && heardAtMs !== undefined && nowMs - heardAtMs > forMs;
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
    for (const member of dead) this.bury(member);
    return dead;
  }

  /** Whether a member may be alive. One that is only known from a record is listened for from now on. */
  mayBeAlive(member: string, nowMs: number): boolean {
    if (member === this.#self || this.#heardAtMs.has(member)) return true;
    if (this.#dead.has(member)) return false;
    this.#heardAtMs.set(member, nowMs);
    return true;
  }
}
