/**
 * The local copy of the catalogue every service works from. It is kept current by a watch, which
 * re-reads after a reconnect; while NATS is away the last copy stays in force. An instance whose
 * record is missing or cannot be used does not exist: everything about it is refused.
 */
import type { Bus, KvChange, KvWatch } from "@hawser/bus";
import { errorLine } from "@hawser/errors";
import { counter, metricNames } from "@hawser/telemetry";
import { buckets } from "@hawser/wire";
import type { CompiledInstance } from "./compiled-instance.ts";
import { compileInstance, decodeStored, instanceOfKey } from "./instance-record.ts";

export interface CatalogReaderOptions {
  /** Copies of the bucket on a NATS cluster. */
  readonly replicas?: number;
  /** Told about records that cannot be used. */
  readonly log?: { error(fields: object, message: string): void };
}

export type CatalogListener = (instanceId: string, instance: CompiledInstance | undefined) => void;

export class CatalogReader {
  readonly #instances = new Map<string, CompiledInstance>();
  readonly #listeners = new Set<CatalogListener>();
  readonly #options: CatalogReaderOptions;
  readonly #errors = counter(metricNames.catalogErrors);
  #watch: KvWatch | null = null;
  #version = 0;

  private constructor(options: CatalogReaderOptions) {
    this.#options = options;
  }

  /** Resolves when what is stored now has been read. */
  static async start(bus: Bus, options: CatalogReaderOptions = {}): Promise<CatalogReader> {
    const reader = new CatalogReader(options);
    const bucket = await bus.ensureKv(buckets.catalog, options.replicas === undefined ? {} : { replicas: options.replicas });
    reader.#watch = await bucket.watch("instance.", (change) => reader.#apply(change));
    return reader;
  }

  stop(): void {
    this.#watch?.stop();
    this.#listeners.clear();
  }

  /** Revision of the bucket up to which this copy is current: what a heartbeat reports. */
  get version(): number {
    return this.#version;
  }

  instance(id: string): CompiledInstance | undefined {
    return this.#instances.get(id);
  }

  instances(): CompiledInstance[] {
    return [...this.#instances.values()];
  }

  /** Told after every new revision, also one that changes no instance: `version` has moved. @returns ends it */
  onChange(listener: CatalogListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #apply(change: KvChange): void {
    const id = instanceOfKey(change.key);
    if (id === null) return;
    const compiled = this.#read(id, change);
    if (compiled) this.#instances.set(id, compiled);
    else this.#instances.delete(id);
    this.#version = Math.max(this.#version, change.revision);
    for (const listener of this.#listeners) listener(id, compiled);
  }

  #read(id: string, change: KvChange): CompiledInstance | undefined {
    if (change.value === null) return undefined;
    try {
      const stored = decodeStored(change.value);
      if (stored.instance && stored.instance.id !== id) throw new Error(`it is the record of ${stored.instance.id}`);
      return stored.instance ? compileInstance(stored.instance, stored.version) : undefined;
    } catch (error) {
      this.#errors.add(1);
      this.#options.log?.error({ instance: id, revision: change.revision, reason: errorLine(error) }, "catalogue record refused: the instance is out of service");
      return undefined;
    }
  }
}
