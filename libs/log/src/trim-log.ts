import type { Bus } from "@hawser/bus";
import { buckets, streams } from "@hawser/wire";
import { cursorKey, decodeCursor } from "./cursor.ts";

/** Names of the consumers that have a cursor of this partition, whoever runs them. @throws when NATS is away */
export async function consumersOf(bus: Bus, partition: number): Promise<string[]> {
  const ending = `.${partition}`;
  const cursors = await bus.kv(buckets.cursors).list("");
  return cursors.filter(({ key }) => key.endsWith(ending)).map(({ key }) => key.slice(0, -ending.length));
}

/**
 * Purges a partition up to the smallest cursor of its consumers. Does nothing while one of them has
 * no cursor yet: it has not begun.
 * @returns the sequence up to which nothing is left, 0 when nothing was trimmed
 * @throws when NATS is away
 */
export async function trimLog(bus: Bus, partition: number, consumers: readonly string[], trimmedTo = 0): Promise<number> {
  const kv = bus.kv(buckets.cursors);
  let smallest = Number.POSITIVE_INFINITY;
  for (const consumer of consumers) {
    const stored = await kv.get(cursorKey(consumer, partition));
    if (!stored) return trimmedTo;
    smallest = Math.min(smallest, decodeCursor(stored.value).sequence);
  }
  if (!Number.isFinite(smallest) || smallest <= trimmedTo) return trimmedTo;
  await bus.jsm.streams.purge(streams.log(partition), { seq: smallest + 1 });
  return smallest;
}
