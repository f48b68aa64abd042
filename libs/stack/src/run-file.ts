/** DIR/run.json: who runs the stack in a directory, and each process of it as the supervisor sees it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { isAlive } from "./lock.ts";
import type { ProcessState } from "./supervised-process.ts";
import { writeAtomically } from "./write-atomically.ts";

export interface RunningProcess {
  readonly name: string;
  readonly state: ProcessState;
  /** 0 before its first start. */
  readonly pid: number;
  readonly restarts: number;
  /** How it ended last: `exit 1`, `SIGKILL`. */
  readonly lastEnd: string | null;
  /** Where /ready answers; 0 when it has none. */
  readonly healthPort: number;
}

export interface RunFile {
  /** The supervisor's. */
  readonly pid: number;
  readonly startedMs: number;
  readonly processes: readonly RunningProcess[];
}

export function runFilePath(data: string): string {
  return join(data, "run.json");
}

export function stateFilePath(data: string): string {
  return join(data, "state.json");
}

export function writeRunFile(data: string, run: RunFile): void {
  writeAtomically(runFilePath(data), `${JSON.stringify(run, null, 1)}\n`);
}

/** @returns null when no stack runs in the directory */
export function readRunFile(data: string): RunFile | null {
  let run: RunFile;
  try {
    run = JSON.parse(readFileSync(runFilePath(data), "utf8")) as RunFile;
  } catch {
    return null;
  }
  return isAlive(run.pid) ? run : null;
}
