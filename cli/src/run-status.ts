import { resolve } from "node:path";
import { type StackStatus, stackStatus } from "@hawser/stack";

/** Exit code 0 when all is ready, 3 when something is not, 4 when nothing runs. */
export async function runStatus(options: { readonly data: string; readonly json: boolean }): Promise<void> {
  const status = await stackStatus(resolve(options.data));
  process.stdout.write(options.json ? `${JSON.stringify(status, null, 1)}\n` : table(status));
  process.exitCode = status.ready ? 0 : status.running ? 3 : 4;
}

function table(status: StackStatus): string {
  if (!status.running) return "not running\n";
  const rows = [
    ["process", "state", "pid", "restarts", "ready"],
    ...status.processes.map((each) => [each.name, each.state, `${each.pid}`, `${each.restarts}${each.lastEnd ? ` (${each.lastEnd})` : ""}`, each.ready === null ? "-" : (each.reason ?? "yes")]),
  ];
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) => `${row.map((cell, column) => cell.padEnd(widths[column]!)).join("  ").trimEnd()}\n`).join("");
}
