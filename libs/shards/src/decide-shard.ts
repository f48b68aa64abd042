/**
 * What a member does about one shard: the whole decision, pure. README.md has the protocol.
 */
import type { ShardRecord } from "./shard-record.ts";

export interface ShardSituation {
  readonly me: string;
  /** Null: nobody has ever owned it. */
  readonly record: ShardRecord | null;
  /** Epoch under which I hold it, 0 = I do not. */
  readonly held: number;
  /** Placement gives it to me. */
  readonly wanted: boolean;
  /** The record's owner may be alive. */
  readonly ownerAlive: boolean;
  /** The membership has not changed for the settle time: only then a running shard is moved. */
  readonly settled: boolean;
}

export type ShardDecision = "claim" | "hand-over" | "free" | "lost" | "nothing";

export function decideShard(situation: ShardSituation): ShardDecision {
  const { me, record, held, wanted, ownerAlive, settled } = situation;
  if (held > 0 && (record === null || record.owner !== me || record.epoch !== held)) return "lost";
  if (held > 0) return wanted || !settled ? "nothing" : "hand-over";
  // the orphan rule: the record names me, but I dropped it. Nobody else may take it
  if (record !== null && record.owner === me) return wanted ? "claim" : "free";
  if (!wanted) return "nothing";
  const free = record === null || record.owner === "" || !ownerAlive;
  return free ? "claim" : "nothing";
}
