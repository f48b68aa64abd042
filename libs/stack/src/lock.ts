/** Locks between processes of one machine: a directory with its holder's pid in it. */
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const LOCK_WITHOUT_OWNER_MS = 10_000;

export async function withLock<T>(path: string, action: () => Promise<T>): Promise<T> {
  while (lockHolder(path) !== null || !tryLock(path)) await sleep(200);
  try {
    return await action();
  } finally {
    unlock(path);
  }
}

/** @returns false when somebody holds it */
export function tryLock(path: string): boolean {
  try {
    mkdirSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
  writeFileSync(join(path, "pid"), `${process.pid}`);
  return true;
}

export function unlock(path: string): void {
  rmSync(path, { recursive: true, force: true });
}

/** Who holds the lock; null when it is free. One whose holder is gone is taken away first. */
export function lockHolder(path: string): number | null {
  const pid = readPid(path);
  if (pid > 0 && isAlive(pid)) return pid;
  const made = statSync(path, { throwIfNoEntry: false });
  if (!made) return null;
  // without a pid its holder is between the two steps of taking it, or died there
  if (pid === 0 && Date.now() - made.mtimeMs < LOCK_WITHOUT_OWNER_MS) return 0;
  unlock(path);
  return null;
}

function readPid(path: string): number {
  try {
    return Number(readFileSync(join(path, "pid"), "utf8")) || 0;
  } catch {
    return 0;
  }
}

/** A process that has ended and waits to be reaped counts as gone. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return false;
  }
  return !isZombie(pid);
}

function isZombie(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2, stat.lastIndexOf(")") + 3) === "Z";
  } catch {
    return false; // no /proc here
  }
}
