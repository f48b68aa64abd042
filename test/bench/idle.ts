/** What a stack takes that has nothing to do: memory and CPU of each process, and how long it takes to start. */
import { setTimeout as sleep } from "node:timers/promises";
import { optionOf, withStack } from "./parts/bench-stack.ts";
import { processesOf, rssBytes, UsageMeter } from "./parts/process-usage.ts";
import { printTable, round } from "./parts/table.ts";

const SETTLE_SECONDS = optionOf("WARM", 5);
const SECONDS = optionOf("SECONDS", 10);
const MIB = 1024 * 1024;

const beganMs = performance.now();
await withStack([], async (stack) => {
  const startSeconds = (performance.now() - beganMs) / 1000;
  await sleep(SETTLE_SECONDS * 1000);
  const processes = processesOf(stack.state);
  const meter = new UsageMeter(processes, [process.pid]);
  await sleep(SECONDS * 1000);
  const { used, seconds } = meter.read();
  printTable(
    ["process", "RSS, MiB", "CPU, % of a core"],
    processes.map(({ name, pid }, index) => [name, round(rssBytes(pid) / MIB, 0), round(used[index]!.us / seconds / 10_000)]),
  );
  process.stdout.write(`\nready ${startSeconds.toFixed(1)} s after the start\n`);
});
