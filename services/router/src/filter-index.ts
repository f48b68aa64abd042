/**
 * The persistent filters of all shards, from the bucket `hawser-filters`: which shards' inboxes
 * need a message. Over-approximates at most: the owner of a shard matches exactly.
 */
import type { Bus, KvChange, KvWatch } from "@hawser/bus";
import { TopicIndex } from "@hawser/mqtt";
import { parseShare } from "@hawser/rules";
import { errorLine } from "@hawser/errors";
import type { Logger } from "@hawser/telemetry";
import { buckets } from "@hawser/wire";

interface StoredFilters {
  readonly filters: readonly (readonly [instance: string, filter: string])[];
}

export interface FilterIndexOptions {
  readonly bus: Bus;
  readonly replicas: number;
  readonly log: Logger;
  /** Everything up to this revision of the bucket is applied. */
  readonly onRevision: (revision: number) => void;
}

export class FilterIndex {
  readonly #options: FilterIndexOptions;
  readonly #byInstance = new Map<string, TopicIndex<number, true>>();
  readonly #byShard = new Map<number, ReadonlyMap<string, readonly [instance: string, filter: string]>>();
  #watch: KvWatch | null = null;
  #revision = 0;

  constructor(options: FilterIndexOptions) {
    this.#options = options;
  }

  /** Resolves when everything stored has been applied. @throws when NATS is away */
  async start(): Promise<void> {
    const { bus, replicas, onRevision } = this.#options;
    const bucket = await bus.ensureKv(buckets.filters, { replicas });
    this.#watch = await bucket.watch("", (change) => this.#apply(change));
    this.#revision = Math.max(this.#revision, this.#watch.revision);
    onRevision(this.#revision);
  }

  stop(): void {
    this.#watch?.stop();
  }

  get revision(): number {
    return this.#revision;
  }

  /** No shard wants anything. */
  get isEmpty(): boolean {
    return this.#byShard.size === 0;
  }

  #apply(change: KvChange): void {
    const shard = Number(change.key);
    if (Number.isInteger(shard)) this.#replace(shard, this.#read(change));
    this.#revision = Math.max(this.#revision, change.revision);
    // before the first read is complete nobody may take this for all there is
    if (this.#watch !== null) this.#options.onRevision(this.#revision);
  }

  /** A record that cannot be read counts as "everything": too much is right, too little is a lost message. */
  #read({ key, value, revision }: KvChange): readonly (readonly [string, string])[] {
    if (value === null) return [];
    try {
      return (JSON.parse(value.toString()) as StoredFilters).filters.map(([instance, filter]) => [instance, innerFilter(filter)]);
    } catch (error) {
      this.#options.log.error({ shard: key, revision, problem: errorLine(error) }, "filters of a shard cannot be read: it gets every message");
      return [...this.#byInstance.keys()].map((instance) => [instance, "#"] as const);
    }
  }

  #replace(shard: number, filters: readonly (readonly [string, string])[]): void {
    const before = this.#byShard.get(shard);
    const after = new Map(filters.map((entry) => [`${entry[0]}\u0000${entry[1]}`, entry]));
    for (const [key, [instance, filter]] of after) if (!before?.has(key)) this.#indexOf(instance).add(filter, shard, true);
    for (const [key, [instance, filter]] of before ?? []) if (!after.has(key)) this.#indexOf(instance).remove(filter, shard);
    if (after.size > 0) this.#byShard.set(shard, after);
    else this.#byShard.delete(shard);
  }

  #indexOf(instance: string): TopicIndex<number, true> {
    let index = this.#byInstance.get(instance);
    if (!index) this.#byInstance.set(instance, (index = new TopicIndex()));
    return index;
  }

  /** Adds to `into` the shards whose inbox needs a message of this topic. */
  shardsFor(instance: string, topic: string, into: Set<number>): void {
    this.#byInstance.get(instance)?.match(topic, (shard) => into.add(shard));
  }
}

function innerFilter(filter: string): string {
  const shared = parseShare(filter);
  return shared !== null && shared !== "malformed" ? shared.filter : filter;
}
