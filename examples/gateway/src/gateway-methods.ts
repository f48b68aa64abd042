/** The methods of the reference gateway, doing real work on a directory and an S3 API. */
import { hostname, totalmem, uptime } from "node:os";
import { setTimeout as pause } from "node:timers/promises";
import { gatewayInfo, gatewayPing, shareList, shareReverseSync } from "@hawser/csg-protocol";
import { CommandFailed, handler, type MethodHandler, type RunContext } from "@hawser/gateway-sdk";
import { listPages, type ObjectStoreOptions, type StoredObject } from "./object-store.ts";
import type { ShareDirectory } from "./share-directory.ts";

export const VERSION = "0.1.0";

export interface MethodOptions {
  readonly device: string;
  readonly shares: ShareDirectory;
  /** Null when no store is configured. */
  readonly store: ObjectStoreOptions | null;
  readonly pagePauseMs: number;
}

export function gatewayMethods(options: MethodOptions): MethodHandler[] {
  return [
    handler(gatewayInfo, async () => info(options)),
    handler(gatewayPing, async ({ payload }) => ({ payload: payload ?? null, at: Date.now() })),
    handler(shareList, async () => ({ shares: await options.shares.list() })),
    handler(shareReverseSync, (params, context) => reverseSync(options, params, context)),
  ];
}

function info({ device, store }: MethodOptions): object {
  return {
    id: device,
    version: VERSION,
    node: process.version,
    platform: `${process.platform}/${process.arch}`,
    host: hostname(),
    uptimeSeconds: Math.round(uptime()),
    memoryBytes: { total: totalmem(), resident: process.memoryUsage.rss() },
    bucket: store?.bucket ?? null,
  };
}

async function reverseSync(options: MethodOptions, { share, prefix = "" }: { share: string; prefix?: string | undefined }, context: RunContext): Promise<object> {
  const { shares, store, pagePauseMs } = options;
  if (!store) throw new CommandFailed("FAILED_PRECONDITION", "STORE_NOT_CONFIGURED", "this gateway has no object store");
  if (!(await shares.has(share))) throw new CommandFailed("NOT_FOUND", "SHARE_NOT_FOUND", `there is no share ${share}`);
  const startedAt = performance.now();
  context.progress({ stage: "scan", pct: 0, counters: { objects: 0 } });
  try {
    const pages = paced(listPages(store, prefix, context.signal), pagePauseMs, context.signal);
    const summary = await shares.buildIndex(share, prefix, pages, (objects) => {
      // how much there is, nobody knows before the end: the figure only shows that it moves
      context.progress({ pct: Math.round(90 * (1 - 1 / (1 + objects / 200))), counters: { objects } });
    });
    context.progress({ stage: "done", pct: 100, counters: { objects: summary.objects } });
    return { share, ...summary, durationMs: Math.round(performance.now() - startedAt) };
  } catch (error) {
    if (context.signal.aborted) throw error;
    throw new CommandFailed("UNAVAILABLE", "STORE_FAILED", error instanceof Error ? error.message : String(error), true);
  }
}

async function* paced(pages: AsyncIterable<StoredObject[]>, pauseMs: number, signal: AbortSignal): AsyncGenerator<StoredObject[]> {
  for await (const page of pages) {
    yield page;
    if (pauseMs > 0) await pause(pauseMs, undefined, { signal });
  }
}
