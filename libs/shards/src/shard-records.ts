/**
 * The shard records of one service as this process knows them. A watch tells changes at once, but a
 * watch may be deaf without knowing; so `reconcile` asks the leader regularly whether anything was
 * written since the last complete reading (one small request), and only then reads every record.
 */
import type { Bus, KvBucket, KvWatch, WriteResult } from "@hawser/bus";
import { buckets } from "@hawser/wire";
import { decodeShardChange, decodeShardRecord, encodeShardRecord, shardKey, type ShardRecord, type StoredShard } from "./shard-record.ts";

export interface ShardRecordsOptions {
  readonly bus: Bus;
  readonly service: string;
  readonly replicas: number;
  /** Told in any order: who listens compares revisions. Null: the record was deleted. */
  readonly onRecord: (shard: number, record: StoredShard | null) => void;
}

interface StreamState {
  readonly created: string;
  readonly state: { readonly last_seq: number; readonly subjects?: Readonly<Record<string, number>> };
  readonly error?: { readonly description: string };
}

const INFO = `$JS.API.STREAM.INFO.KV_${buckets.shards}`;
const INFO_TIMEOUT_MS = 2_000;
const EMPTY = Buffer.alloc(0);

export class ShardRecords {
  readonly #options: ShardRecordsOptions;
  readonly #told = new Set<number>();
  #kv!: KvBucket;
  #watch: KvWatch | null = null;
  #created = "";
  #completeAt = -1;

  constructor(options: ShardRecordsOptions) {
    this.#options = options;
  }

  /** Creates the bucket if it is missing; resolves when every record has been told. */
  async start(): Promise<void> {
    const { bus, service, replicas } = this.#options;
    this.#kv = await bus.ensureKv(buckets.shards, { replicas });
    this.#watch = await this.#kv.watch(`${service}.`, (change) => this.#tell(...decodeShardChange(service, change)));
    await this.reconcile();
  }

  stop(): void {
    this.#watch?.stop();
  }

  write(shard: number, record: ShardRecord, revision: number): Promise<WriteResult> {
    return this.#kv.update(shardKey(this.#options.service, shard), encodeShardRecord(record), revision);
  }

  /** From the leader. @throws when it cannot be asked */
  async read(shard: number): Promise<StoredShard | null> {
    const stored = await this.#kv.get(shardKey(this.#options.service, shard));
    return stored && decodeShardRecord(stored.value, stored.revision);
  }

  /** Tells what the leader has and the watch may have missed. @throws when it cannot be asked */
  async reconcile(): Promise<void> {
    const told = [...this.#told];
    const before = await this.#info(EMPTY);
    const remade = this.#created !== "" && before.created !== this.#created;
    if (!remade && before.state.last_seq === this.#completeAt) return;
    const prefix = `$KV.${buckets.shards}.${this.#options.service}.`;
    const { state } = await this.#info(Buffer.from(JSON.stringify({ subjects_filter: `${prefix}>` })));
    const shards = new Set(Object.keys(state.subjects ?? {}).map((subject) => Number(subject.slice(prefix.length))));
    const vanished = told.filter((shard) => remade || !shards.has(shard));
    const records = await Promise.all([...shards].map(async (shard) => [shard, await this.read(shard)] as const));
    // a bucket made anew counts its revisions from 1: what was known of the old one must not win
    for (const shard of vanished) this.#tell(shard, null);
    for (const [shard, record] of records) this.#tell(shard, record);
    this.#created = before.created;
    this.#completeAt = before.state.last_seq;
  }

  async #info(request: Buffer): Promise<StreamState> {
    const info = JSON.parse((await this.#options.bus.request(INFO, request, INFO_TIMEOUT_MS)).toString()) as StreamState;
    if (info.error) throw new Error(`KV ${buckets.shards}: ${info.error.description}`);
    return info;
  }

  #tell(shard: number, record: StoredShard | null): void {
    if (record === null) this.#told.delete(shard);
    else this.#told.add(shard);
    this.#options.onRecord(shard, record);
  }
}
