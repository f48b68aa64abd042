/**
 * The records of actors in one bucket. Writes of all actors of a tick go out together; each names
 * the revision it replaces. Whether a write without an answer was stored is found out by reading:
 * nothing is told until it is known.
 */
import type { Bus, KvBucket, WriteResult } from "@hawser/bus";

export interface RecordUpdate {
  readonly key: string;
  readonly value: Buffer | null;
  readonly revision: number;
  /** Revision, or null: somebody else has written this record. Not called when `abandoned` says so. */
  readonly done: (revision: number | null) => void;
  readonly abandoned: () => boolean;
}

const RETRY_MS = 100;

export class RecordStore {
  readonly #kv: KvBucket;
  readonly #bus: Bus;
  readonly #bucket: string;
  #pending: RecordUpdate[] = [];
  #scheduled = false;
  writes = 0;

  constructor(bus: Bus, bucket: string) {
    this.#bus = bus;
    this.#bucket = bucket;
    this.#kv = bus.kv(bucket);
  }

  async ensure(replicas: number): Promise<void> {
    await this.#bus.ensureKv(this.#bucket, { replicas });
  }

  /** Goes out at the end of the tick. A key may be under way once. */
  update(update: RecordUpdate): void {
    this.#pending.push(update);
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      const batch = this.#pending;
      this.#pending = [];
      void this.#write(batch);
    });
  }

  async #write(batch: readonly RecordUpdate[]): Promise<void> {
    this.writes += batch.length;
    let results: WriteResult[];
    try {
      results = await this.#kv.updateAll(batch);
    } catch {
      results = batch.map(() => ({ kind: "unknown" }));
    }
    batch.forEach((update, at) => {
      const result = results[at]!;
      if (result.kind === "ok") this.#finish(update, result.revision);
      else void this.#findOut(update);
    });
  }

  #finish(update: RecordUpdate, revision: number | null): void {
    if (!update.abandoned()) update.done(revision);
  }

  /** Refused or unanswered: what stands there decides. */
  async #findOut(update: RecordUpdate): Promise<void> {
    while (!update.abandoned()) {
      try {
        const stored = await this.#kv.get(update.key);
        const same = stored ? update.value !== null && stored.value.equals(update.value) : update.value === null;
        if (same) return this.#finish(update, stored?.revision ?? 0);
        if ((stored?.revision ?? 0) !== update.revision) return this.#finish(update, null);
        const [again] = await this.#kv.updateAll([update]);
        if (again?.kind === "ok") return this.#finish(update, again.revision);
      } catch {
        // NATS is away: the gate stays closed
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }

  /** @param prefix `<shard>.` or `<shard>.<token>` */
  async list(prefix: string): Promise<{ key: string; value: Buffer; revision: number }[]> {
    return this.#kv.list(prefix);
  }
}
