/**
 * Puts a catalogue into force: one record per instance, written by compare-and-set. An instance
 * that has not changed keeps its version; one that is no longer in the document is removed.
 */
import type { Bus, KvBucket } from "@hawser/bus";
import { HawserError } from "@hawser/errors";
import { buckets } from "@hawser/wire";
import { decodeStored, encodeStored, instanceKey, instanceOfKey, type StoredInstance } from "./instance-record.ts";
import type { InstanceRecord } from "./schema.ts";
import { validateCatalog } from "./validate.ts";

export interface Published {
  readonly changed: readonly { readonly id: string; readonly version: number }[];
  readonly removed: readonly string[];
  readonly unchanged: readonly string[];
  /** Every member whose CatalogReader.version is at least this works with this catalogue. */
  readonly revision: number;
}

const ATTEMPTS = 10;

/**
 * @param input a document as validateCatalog takes it
 * @throws HawserError HAWSER_E_CATALOG_INVALID, HAWSER_E_CATALOG_CONFLICT, HAWSER_E_NATS_AWAY
 */
export async function publishCatalog(bus: Bus, input: unknown, options: { readonly replicas?: number } = {}): Promise<Published> {
  const validated = validateCatalog(input);
  if (!validated.ok) throw new HawserError("HAWSER_E_CATALOG_INVALID", `catalogue: ${validated.problems.join("; ")}`);
  const bucket = await bus.ensureKv(buckets.catalog, options);
  const changed = new Map<string, number>();
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const published = await publishOnce(bucket, validated.document.instances, changed);
    if (published) return published;
  }
  throw new HawserError("HAWSER_E_CATALOG_CONFLICT");
}

interface Known extends StoredInstance {
  readonly revision: number;
  /** The stored instance as text, to see whether it changes. */
  readonly text: string;
}

/**
 * @param changed what earlier attempts have written, by instance
 * @returns null when somebody else wrote at the same time: what was written stays, the rest is tried again
 */
async function publishOnce(bucket: KvBucket, instances: readonly InstanceRecord[], changed: Map<string, number>): Promise<Published | null> {
  const known = new Map<string, Known>();
  let revision = 0;
  for (const entry of await bucket.list("instance.")) {
    const id = instanceOfKey(entry.key);
    if (id !== null) known.set(id, readKnown(entry.value, entry.revision));
    revision = Math.max(revision, entry.revision);
  }
  const removed: string[] = [];
  const unchanged: string[] = [];
  const write = async (id: string, instance: InstanceRecord | null): Promise<boolean> => {
    const before = known.get(id);
    const stored = { version: (before?.version ?? 0) + 1, instance };
    const result = before ? await bucket.update(instanceKey(id), encodeStored(stored), before.revision) : await bucket.create(instanceKey(id), encodeStored(stored));
    if (result.kind === "unknown") throw new HawserError("HAWSER_E_NATS_AWAY", "the catalogue could not be written: no answer from NATS");
    if (result.kind === "conflict") return false;
    revision = Math.max(revision, result.revision);
    if (instance) changed.set(id, stored.version);
    else removed.push(id);
    return true;
  };
  for (const instance of instances) {
    if (known.get(instance.id)?.text === JSON.stringify(instance)) {
      if (!changed.has(instance.id)) unchanged.push(instance.id);
    } else if (!(await write(instance.id, instance))) return null;
  }
  const wanted = new Set(instances.map((instance) => instance.id));
  for (const [id, before] of known) {
    if (!wanted.has(id) && before.instance !== null && !(await write(id, null))) return null;
  }
  return { changed: Array.from(changed, ([id, version]) => ({ id, version })), removed, unchanged, revision };
}

/** A record that cannot be read is replaced, whatever it says. */
function readKnown(value: Uint8Array, revision: number): Known {
  try {
    const stored = decodeStored(value);
    return { ...stored, revision, text: JSON.stringify(stored.instance) };
  } catch {
    return { version: revision, instance: null, revision, text: "" };
  }
}
