import { HawserError } from "@hawser/errors";
import type { Bus } from "@hawser/bus";
import { buckets } from "@hawser/wire";

/** Where everything is, once and for all: changed only after a drain. */
export interface Layout {
  readonly version: 1;
  readonly shards: number;
  readonly partitions: number;
  readonly hash: "fnv1a32";
}

/** Writes the layout at first start, compares it at every other. @throws HawserError HAWSER_E_LAYOUT_MISMATCH */
export async function ensureLayout(bus: Bus, wanted: { readonly shards: number; readonly partitions: number; readonly replicas?: number }): Promise<Layout> {
  const kv = await bus.ensureKv(buckets.layout, { replicas: wanted.replicas ?? 1 });
  const layout: Layout = { version: 1, shards: wanted.shards, partitions: wanted.partitions, hash: "fnv1a32" };
  for (;;) {
    const stored = await kv.get("layout");
    if (!stored) {
      if ((await kv.create("layout", Buffer.from(JSON.stringify(layout)))).kind === "ok") return layout;
      continue;
    }
    const actual = JSON.parse(stored.value.toString()) as Layout;
    for (const key of ["version", "shards", "partitions", "hash"] as const) {
      if (actual[key] === layout[key]) continue;
      const line = `the stored layout has ${key} ${actual[key]}, this process is configured for ${layout[key]}`;
      throw new HawserError("HAWSER_E_LAYOUT_MISMATCH", line);
    }
    return actual;
  }
}
