/**
 * Pauses between connection attempts: the first retries are fast, then 1 s doubling to 60 s with
 * full jitter, so that a fleet that lost its broker does not come back in one moment.
 */
const FAST_MS = [50, 250] as const;
const FIRST_MS = 1_000;
const LONGEST_MS = 60_000;

/** @param attempt 0 for the first retry after a connection that worked @param random 0 <= x < 1 */
export function reconnectPauseMs(attempt: number, random: number): number {
  const fast = FAST_MS[attempt];
  if (fast !== undefined) return Math.round(fast * (0.5 + random));
  const capMs = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt - FAST_MS.length, 16));
  return Math.round(random * capMs);
}
