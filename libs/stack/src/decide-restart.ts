export const FIRST_BACKOFF_MS = 250;
export const LONGEST_BACKOFF_MS = 5000;
const SOUND_AFTER_MS = 10_000;

/**
 * When a process that ended is started again: 250 ms, doubling up to 5 s; from the start again once
 * it has been up for 10 s.
 * @param failures ends in a row so far, this one not counted
 */
export function decideRestart(failures: number, upMs: number): { readonly delayMs: number; readonly failures: number } {
  const before = upMs >= SOUND_AFTER_MS ? 0 : failures;
  return { delayMs: Math.min(FIRST_BACKOFF_MS * 2 ** Math.min(before, 10), LONGEST_BACKOFF_MS), failures: before + 1 };
}
