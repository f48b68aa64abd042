/**
 * The records of actors in one bucket. Each write names the revision it replaces. Whether a write
 * without an answer was stored is found out by reading: nothing is told until it is known.
 */
import { type Bus, BusError, type KvBucket, type KvEntry, type WriteResult } from "@hawser/bus";

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
  readonly #bus: Bus;
  readonly #kv: KvBucket;
  writes = 0;

  constructor(bus: Bus, bucket: string) {
    this.#bus = bus;
    this.#kv = bus.kv(bucket);
  }

  /** A key may be under way once. Never rejects. */
  async write(batch: readonly RecordUpdate[]): Promise<void> {
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

  /** Refused or unanswered: what stands there decides. A value names its owner's epoch, so the same value is mine. */
  async #findOut(update: RecordUpdate): Promise<void> {
    while (!update.abandoned()) {
      const outcome = await this.#ask(update);
      if (outcome !== undefined) return this.#finish(update, outcome);
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }

  /** @returns the revision, null = somebody else has written it, undefined = not known yet */
  async #ask(update: RecordUpdate): Promise<number | null | undefined> {
    try {
      const stored = await this.#kv.get(update.key);
      const same = stored ? update.value !== null && stored.value.equals(update.value) : update.value === null;
      if (same) return stored?.revision ?? 0;
      if ((stored?.revision ?? 0) !== update.revision) return null;
      const [again] = await this.#kv.updateAll([update]);
      return again?.kind === "ok" ? again.revision : undefined;
    } catch {
      return undefined; // NATS is away: the gate stays closed
    }
  }

  /**
   * @param prefix `<shard>.` or `<shard>.<token>`
   * @throws when NATS is away or goes away meanwhile, at once: a reading that was cut off may not end for ten seconds
   */
  async list(prefix: string): Promise<KvEntry[]> {
    if (!this.#bus.connected) throw new BusError("disconnected", prefix);
    let stopListening = (): void => undefined;
    const cut = new Promise<never>((_, reject) => {
      stopListening = this.#bus.onStatus(() => reject(new BusError("disconnected", prefix)));
    });
    try {
      return await Promise.race([this.#kv.list(prefix), cut]);
    } finally {
      stopListening();
    }
  }
}
