import { rmSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { isAlive } from "./lock.ts";
import { whyNotReady } from "./probes.ts";
import { readRunFile, runFilePath, type RunningProcess, stateFilePath } from "./run-file.ts";

export interface ProcessStatus extends Omit<RunningProcess, "healthPort"> {
  /** Null for what has no /ready: NATS, RocketMQ. */
  readonly ready: boolean | null;
  /** Why a service is not ready. */
  readonly reason: string | null;
}

export interface StackStatus {
  readonly running: boolean;
  /** Every process runs and every service is ready. */
  readonly ready: boolean;
  /** The supervisor's; null when nothing runs. */
  readonly pid: number | null;
  readonly processes: readonly ProcessStatus[];
}

export async function stackStatus(data: string): Promise<StackStatus> {
  const run = readRunFile(data);
  if (!run) return { running: false, ready: false, pid: null, processes: [] };
  const processes = await Promise.all(run.processes.map(statusOf));
  return { running: true, ready: processes.length > 0 && processes.every(({ state, ready }) => state === "running" && ready !== false), pid: run.pid, processes };
}

async function statusOf({ healthPort, ...process }: RunningProcess): Promise<ProcessStatus> {
  if (healthPort === 0) return { ...process, ready: null, reason: null };
  const reason = await whyNotReady(healthPort);
  return { ...process, ready: reason === null, reason };
}

/**
 * Tells the stack in the directory to stop and waits until it is gone. Files of one that was killed
 * are taken away.
 * @returns false when none runs
 */
export async function stopStack(data: string): Promise<boolean> {
  const run = readRunFile(data);
  if (!run) {
    for (const path of [stateFilePath(data), runFilePath(data)]) rmSync(path, { force: true });
    return false;
  }
  process.kill(run.pid, "SIGTERM");
  while (isAlive(run.pid)) await sleep(50);
  return true;
}
