import type { KvChange } from "@hawser/bus";
import type { ShardRecord } from "./decide-shard.ts";

/** KV `hawser-shards`, key `<service>.<shard>`. */
export function shardKey(service: string, shard: number): string {
  return `${service}.${shard}`;
}

export function encodeShardRecord(record: ShardRecord): Buffer {
  return Buffer.from(JSON.stringify({ version: 1, ...record }));
}

export interface StoredShard extends ShardRecord {
  readonly revision: number;
}

export function decodeShardRecord(value: Buffer, revision: number): StoredShard {
  const { owner, epoch } = JSON.parse(value.toString()) as ShardRecord;
  return { owner, epoch, revision };
}

/** @returns shard and record of a change, the record null when it was deleted */
export function decodeShardChange(service: string, change: KvChange): readonly [number, StoredShard | null] {
  const shard = Number(change.key.slice(service.length + 1));
  return [shard, change.value === null ? null : decodeShardRecord(change.value, change.revision)];
}
