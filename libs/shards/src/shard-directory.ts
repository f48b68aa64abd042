/** Who owns which shard, for callers: a watch of the records, read again every few seconds. */
import type { Bus, KvBucket, KvWatch } from "@hawser/bus";
import { buckets } from "@hawser/wire";
import { decodeShardChange, decodeShardRecord, type StoredShard } from "./shard-record.ts";

export interface ShardOwner {
  readonly member: string;
  readonly epoch: number;
}

export interface ShardDirectoryOptions {
  readonly bus: Bus;
  readonly service: string;
  readonly reconcileMs?: number;
  readonly replicas?: number;
}

const RECONCILE_MS = 3_000;

export class ShardDirectory {
  readonly #options: ShardDirectoryOptions;
  #kv!: KvBucket;
  #watch: KvWatch | null = null;
  #timer: NodeJS.Timeout | null = null;
  readonly #records = new Map<number, StoredShard>();
  readonly #listeners = new Set<(shard: number, owner: ShardOwner | null) => void>();

  constructor(options: ShardDirectoryOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const { bus, service } = this.#options;
    this.#kv = await bus.ensureKv(buckets.shards, { replicas: this.#options.replicas ?? 1 });
    this.#watch = await this.#kv.watch(`${service}.`, (change) => this.#learn(...decodeShardChange(service, change)));
    this.#timer = setInterval(() => void this.#reread(), this.#options.reconcileMs ?? RECONCILE_MS);
    this.#timer.unref();
  }

  stop(): void {
    if (this.#timer) clearInterval(this.#timer);
    this.#watch?.stop();
  }

  owner(shard: number): ShardOwner | null {
    const record = this.#records.get(shard);
    return record && record.owner !== "" ? { member: record.owner, epoch: record.epoch } : null;
  }

  /** A shard has another owner or epoch, or none. @returns stops listening */
  onChange(listener: (shard: number, owner: ShardOwner | null) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async #reread(): Promise<void> {
    if (!this.#options.bus.connected) return;
    try {
      const { service } = this.#options;
      for (const { key, value, revision } of await this.#kv.list(`${service}.`)) {
        this.#learn(Number(key.slice(service.length + 1)), decodeShardRecord(value, revision));
      }
    } catch {
      // the next round tries again
    }
  }

  #learn(shard: number, record: StoredShard | null): void {
    const known = this.#records.get(shard);
    if (record === null) this.#records.delete(shard);
    else if (known && known.revision >= record.revision) return;
    else this.#records.set(shard, record);
    const owner = this.owner(shard);
    for (const listener of this.#listeners) listener(shard, owner);
  }
}
