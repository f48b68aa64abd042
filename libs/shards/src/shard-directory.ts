/** Who owns which shard, for callers: a watch of the records, compared with the leader every few seconds. */
import type { Bus } from "@hawser/bus";
import type { StoredShard } from "./shard-record.ts";
import { ShardRecords } from "./shard-records.ts";

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
  readonly #source: ShardRecords;
  readonly #records = new Map<number, StoredShard>();
  readonly #owners = new Map<number, ShardOwner>();
  readonly #listeners = new Set<(shard: number, owner: ShardOwner | null) => void>();
  #timer: NodeJS.Timeout | null = null;
  #reconciling = false;
  #stopListening: () => void = () => undefined;

  constructor(options: ShardDirectoryOptions) {
    this.#options = options;
    const { bus, service, replicas = 1 } = options;
    this.#source = new ShardRecords({ bus, service, replicas, onRecord: (shard, record) => this.#learn(shard, record) });
  }

  /** Resolves when every owner is known. @throws when NATS is away */
  async start(): Promise<void> {
    const { bus, reconcileMs = RECONCILE_MS } = this.#options;
    await this.#source.start();
    this.#stopListening = bus.onStatus((connected) => connected && void this.#reconcile());
    this.#timer = setInterval(() => void this.#reconcile(), reconcileMs);
    this.#timer.unref();
  }

  stop(): void {
    if (this.#timer) clearInterval(this.#timer);
    this.#stopListening();
    this.#source.stop();
  }

  owner(shard: number): ShardOwner | null {
    return this.#owners.get(shard) ?? null;
  }

  /** A shard has another owner or epoch, or none. @returns stops listening */
  onChange(listener: (shard: number, owner: ShardOwner | null) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async #reconcile(): Promise<void> {
    if (this.#reconciling || !this.#options.bus.connected) return;
    this.#reconciling = true;
    try {
      await this.#source.reconcile();
    } catch {
      // the next round tries again
    } finally {
      this.#reconciling = false;
    }
  }

  #learn(shard: number, record: StoredShard | null): void {
    const known = this.#records.get(shard);
    if (record !== null && known !== undefined && known.revision >= record.revision) return;
    if (record === null) this.#records.delete(shard);
    else this.#records.set(shard, record);
    const before = this.owner(shard);
    const owner = record !== null && record.owner !== "" ? { member: record.owner, epoch: record.epoch } : null;
    if (before?.member === owner?.member && before?.epoch === owner?.epoch) return;
    if (owner) this.#owners.set(shard, owner);
    else this.#owners.delete(shard);
    for (const listener of this.#listeners) listener(shard, owner);
  }
}
