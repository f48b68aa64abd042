import { fnv1a32 } from "@hawser/wire";

/** Some slack, so that one member's coming or going moves few shards. */
const SLACK = 1.1;

/**
 * Bounded rendezvous: every shard goes to the member with the highest score for it that is still
 * below its share. Views of members may differ for a moment; that is harmless, because only the
 * compare-and-set decides who owns.
 * @returns member per shard; empty when there is no member
 */
export function placeShards(shards: number, members: readonly string[]): string[] {
  if (members.length === 0) return [];
  // few shards leave no room for slack: two partitions and two routers are one each
  const limit = Math.max(Math.ceil(shards / members.length), Math.floor((SLACK * shards) / members.length));
  const load = new Map<string, number>(members.map((member) => [member, 0]));
  const sorted = [...members].sort();
  return Array.from({ length: shards }, (_, shard) => {
    let best = "";
    let bestScore = -1;
    for (const member of sorted) {
      if (load.get(member)! >= limit) continue;
      const score = scramble(fnv1a32(`${member}/${shard}`));
      if (score > bestScore) [best, bestScore] = [member, score];
    }
    load.set(best, load.get(best)! + 1);
    return best;
  });
}

/** FNV's high bits differ little for texts that differ at their end. */
function scramble(hash: number): number {
  let mixed = hash;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
