import { setTimeout as sleep } from "node:timers/promises";

/**
 * Looks until what it sees is what is wanted.
 * @throws Error that names what was waited for and what was seen last
 */
export async function until<T>(what: string, look: () => T | Promise<T>, holds: (seen: T) => boolean, timeoutMs = 20_000): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const seen = await look();
    if (holds(seen)) return seen;
    if (Date.now() > deadline) throw new Error(`${what}: not within ${timeoutMs} ms; seen: ${render(seen)}`);
    await sleep(20);
  }
}

function render(seen: unknown): string {
  const text = JSON.stringify(seen, (_, value: unknown) => (value instanceof Map || value instanceof Set ? [...value] : value));
  return (text ?? String(seen)).slice(0, 3000);
}
