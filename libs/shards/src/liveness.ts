/**
 * Who is alive, judged from heartbeats; pure, with the time given (a monotonic clock).
 *
 * I am healthy while the newest of my own heartbeats that came back was sent less than selfMs ago.
 * A member nobody has heard for deadMs is dead, counted from when I heard it, or from when I first
 * asked about it. I judge only while I hear myself without a gap; after a gap everybody has a fresh
 * deadMs, also who was found dead before: my outage is not theirs, and they may be back.
 */
export interface LivenessTimes {
  readonly heartbeatMs: number;
  readonly selfMs: number;
  readonly deadMs: number;
}

/** Own heartbeats further apart than this are a gap; another's silence of this length is suspicious. */
export const GAP_HEARTBEATS = 2.5;
/** Names are unique per boot: only the latest dead are remembered. */
const DEAD_REMEMBERED = 1_000;

export class Liveness {
  readonly #self: string;
  readonly #times: LivenessTimes;
  readonly #gapMs: number;
  readonly #heardAtMs = new Map<string, number>();
  readonly #dead = new Set<string>();
  #ownSentAtMs = Number.NEGATIVE_INFINITY;

  constructor(self: string, times: LivenessTimes) {
    this.#self = self;
    this.#times = times;
    this.#gapMs = Math.min(times.selfMs, times.heartbeatMs * GAP_HEARTBEATS);
  }

  /** @param sentAtMs of my own heartbeats: my clock when it was sent */
  heard(member: string, sentAtMs: number, nowMs: number): void {
    if (member === this.#self && sentAtMs > this.#ownSentAtMs) {
      if (sentAtMs - this.#ownSentAtMs > this.#gapMs) this.#giveTime(nowMs);
      this.#ownSentAtMs = sentAtMs;
    }
    this.#dead.delete(member);
    this.#heardAtMs.set(member, nowMs);
  }

  #giveTime(nowMs: number): void {
    for (const member of [...this.#heardAtMs.keys(), ...this.#dead]) this.#heardAtMs.set(member, nowMs);
    this.#dead.clear();
  }

  healthy(nowMs: number): boolean {
    return nowMs - this.#ownSentAtMs < this.#times.selfMs;
  }

  /** Whether I hear myself well enough to judge others. */
  judging(nowMs: number): boolean {
    return nowMs - this.#ownSentAtMs < this.#gapMs;
  }

  /** It said goodbye, or was found dead another way. */
  bury(member: string): void {
    this.#heardAtMs.delete(member);
    this.#dead.add(member);
    if (this.#dead.size > DEAD_REMEMBERED) this.#dead.delete(this.#dead.values().next().value!);
  }

  /** Members that are silent so long that they should be asked. */
  suspects(nowMs: number): string[] {
    return this.#silent(this.#gapMs, nowMs);
  }

  isSuspect(member: string, nowMs: number): boolean {
    const heardAtMs = this.#heardAtMs.get(member);
    return this.judging(nowMs) && member !== this.#self && heardAtMs !== undefined && nowMs - heardAtMs > this.#gapMs;
  }

  /** To be called regularly. @returns the members that are dead from now on */
  judge(nowMs: number): string[] {
    const dead = this.#silent(this.#times.deadMs, nowMs);
    for (const member of dead) this.bury(member);
    return dead;
  }

  #silent(forMs: number, nowMs: number): string[] {
    if (!this.judging(nowMs)) return [];
    return [...this.#heardAtMs].flatMap(([member, heardAtMs]) => (member !== this.#self && nowMs - heardAtMs > forMs ? [member] : []));
  }

  /** Whether a member may be alive. One that is only known from a record is listened for from now on. */
  mayBeAlive(member: string, nowMs: number): boolean {
    if (member === this.#self || this.#heardAtMs.has(member)) return true;
    if (this.#dead.has(member)) return !this.judging(nowMs);
    this.#heardAtMs.set(member, nowMs);
    return true;
  }
}
