import type { KvChange } from "@hawser/bus";

/** KV `hawser-shards`, key `<service>.<shard>`: JSON {version, owner, epoch, state}. */
export interface ShardRecord {
  /** Member that owns it, empty when it is free. */
  readonly owner: string;
  /** Counts up with every owner; it never falls, whatever happens to the bucket. */
  readonly epoch: number;
}

export interface StoredShard extends ShardRecord {
  readonly revision: number;
}

export function shardKey(service: string, shard: number): string {
  return `${service}.${shard}`;
}

export function encodeShardRecord({ owner, epoch }: ShardRecord): Buffer {
  return Buffer.from(JSON.stringify({ version: 1, owner, epoch, state: owner === "" ? "free" : "owned" }));
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
