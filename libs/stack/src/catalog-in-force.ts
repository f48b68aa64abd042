import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Bus } from "@hawser/bus";
import { type InstanceRecord, publishCatalog } from "@hawser/catalog";
import { HawserError } from "@hawser/errors";
import { buckets } from "@hawser/wire";
import { defaultCatalog, type DefaultCatalogOptions, INSTANCE } from "./default-catalog.ts";

/**
 * Publishes the default catalogue, unless the directory's NATS holds one that somebody else has
 * applied since: that stays. The revision we published last is kept in DIR/catalog-revision.
 * @returns the instance a stack speaks of: the default one, else the first
 */
export async function catalogInForce(natsUrl: string, data: string, options: DefaultCatalogOptions): Promise<InstanceRecord> {
  const marker = join(data, "catalog-revision");
  const bus = await Bus.connect({ url: natsUrl, name: "hawser-up" });
  try {
    const bucket = await bus.ensureKv(buckets.catalog);
    const stored = await bucket.list("instance.");
    const newest = Math.max(0, ...stored.map(({ revision }) => revision));
    if (newest === 0 || newest === readRevision(marker)) {
      const { revision } = await publishCatalog(bus, defaultCatalog(options));
      mkdirSync(data, { recursive: true });
      writeFileSync(marker, `${revision}\n`);
    }
    const instances = (await bucket.list("instance.")).map(({ value }) => (JSON.parse(value.toString()) as { instance: InstanceRecord | null }).instance).filter((each) => each !== null);
    const chosen = instances.find(({ id }) => id === INSTANCE) ?? instances[0];
    if (!chosen) throw new HawserError("HAWSER_E_CATALOG_MISSING", "the catalogue holds no instance: apply one that does");
    return chosen;
  } finally {
    await bus.close();
  }
}

function readRevision(marker: string): number {
  try {
    return Number(readFileSync(marker, "utf8"));
  } catch {
    return 0;
  }
}
