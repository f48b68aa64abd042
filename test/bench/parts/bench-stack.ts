/**
 * A stack for a benchmark, thrown away afterwards, also when the benchmark fails or is interrupted.
 * `BENCH_PROFILE=DIR` writes CPU profiles of every service there (node --cpu-prof).
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseSetting } from "@hawser/config";
import { defaultCounts, progress, Stack } from "@hawser/stack";

export async function withStack(settings: readonly string[], measure: (stack: Stack) => Promise<void>): Promise<void> {
  const profile = process.env["BENCH_PROFILE"];
  if (profile) process.env["NODE_OPTIONS"] = `--cpu-prof --cpu-prof-interval=500 --cpu-prof-dir=${resolve(profile)}`;
  const data = mkdtempSync(join(tmpdir(), "hawser-bench-"));
  const abort = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => abort.abort());
  const interrupted = new Promise<never>((_, reject) => abort.signal.addEventListener("abort", () => reject(new Error("interrupted"))));
  interrupted.catch(() => undefined);
  let stack: Stack | undefined;
  try {
    stack = await Stack.start(
      { data, counts: defaultCounts, rocketmq: { kind: "real" }, plain: false, settings: settings.map(parseSetting), throwAway: !profile, progress },
      abort.signal,
    );
    delete process.env["NODE_OPTIONS"];
    await Promise.race([measure(stack), interrupted]);
  } finally {
    await stack?.stop();
    rmSync(data, { recursive: true, force: true });
  }
  process.exit(0);
}

/** A number from the environment: `BENCH_SECONDS=15`. */
export function optionOf(name: string, fallback: number): number {
  const text = process.env[`BENCH_${name}`];
  if (text === undefined || text === "") return fallback;
  const value = Number(text);
  if (!Number.isFinite(value) || value < 0) throw new Error(`BENCH_${name}=${text}: a number of 0 or more is needed`);
  return value;
}
