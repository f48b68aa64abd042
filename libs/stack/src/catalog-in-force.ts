import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Bus } from "@hawser/bus";
import { type InstanceRecord, publishCatalog } from "@hawser/catalog";
import { HawserError } from "@hawser/errors";
import { buckets } from "@hawser/wire";
import { defaultCatalog, type DefaultCatalogOptions, INSTANCE } from "./default-catalog.ts";

const PREFIX = "instance.";

/**
 * The catalogue of a stack: publishes the default one, unless the directory's NATS holds one that
 * somebody else has applied since (the revision we published last is kept in
 * DIR/catalog-revision), and follows what is applied later, so that state.json tells it.
 */
export class CatalogInForce {
  readonly #bus: Bus;
  readonly #instances = new Map<string, InstanceRecord>();
  readonly #onChange: () => void;

  private constructor(bus: Bus, onChange: () => void) {
    this.#bus = bus;
    this.#onChange = onChange;
  }

  static async start(natsUrl: string, data: string, options: DefaultCatalogOptions, onChange: () => void): Promise<CatalogInForce> {
    const bus = await Bus.connect({ url: natsUrl, name: "hawser-up" });
    const catalog = new CatalogInForce(bus, onChange);
    try {
      const marker = join(data, "catalog-revision");
      const bucket = await bus.ensureKv(buckets.catalog);
      const newest = Math.max(0, ...(await bucket.list(PREFIX)).map(({ revision }) => revision));
      if (newest === 0 || newest === readRevision(marker)) {
        const { revision } = await publishCatalog(bus, defaultCatalog(options));
        writeFileSync(marker, `${revision}\n`);
      }
      await bucket.watch(PREFIX, ({ key, value }) => catalog.#apply(key, value));
      if (catalog.#instances.size === 0) throw new HawserError("HAWSER_E_CATALOG_MISSING", "the catalogue holds no instance: apply one that does");
      return catalog;
    } catch (error) {
      await bus.close();
      throw error;
    }
  }

  /** The instance a stack speaks of: the default one, else the first. */
  get instance(): InstanceRecord {
    return this.#instances.get(INSTANCE) ?? [...this.#instances.values()][0]!;
  }

  stop(): Promise<void> {
    return this.#bus.close();
  }

  #apply(key: string, value: Buffer | null): void {
    const { instance } = value === null ? { instance: null } : (JSON.parse(value.toString()) as { instance: InstanceRecord | null });
    const id = key.slice(PREFIX.length);
    if (instance) this.#instances.set(id, instance);
    else if (this.#instances.size > 1) this.#instances.delete(id); // the last one stays told
    this.#onChange();
  }
}

function readRevision(marker: string): number {
  try {
    return Number(readFileSync(marker, "utf8"));
  } catch {
    return 0;
  }
}
