/**
 * Where things that were fetched are kept: HAWSER_CACHE, else ~/.cache/hawser. Everything is made
 * in a temporary place and renamed, so that an interrupted run leaves nothing half-made, and under
 * a lock, so that two copies of Hawser that start at once fetch once.
 */
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

export function cacheDir(): string {
  return process.env["HAWSER_CACHE"] || join(homedir(), ".cache", "hawser");
}

/**
 * Fills a place of the cache, unless it is filled.
 * @param path below cacheDir()
 * @param ready whether the place holds what is wanted
 * @param fill makes it in an empty directory; what it leaves there becomes the place
 * @returns the absolute path
 */
export async function cached(path: string, ready: (place: string) => boolean, fill: (directory: string) => Promise<void>): Promise<string> {
  const place = join(cacheDir(), path);
  if (ready(place)) return place;
  mkdirSync(dirname(place), { recursive: true });
  await withLock(`${place}.lock`, async () => {
    if (ready(place)) return;
    const making = mkdtempSync(`${place}.making-`);
    try {
      await fill(making);
      adopt(making, place, ready);
    } finally {
      rmSync(making, { recursive: true, force: true });
    }
  });
  return place;
}

function adopt(making: string, place: string, ready: (place: string) => boolean): void {
  rmSync(place, { recursive: true, force: true });
  try {
    renameSync(making, place);
  } catch (error) {
    if (!ready(place)) throw error; // else somebody was faster
  }
}

const LOCK_WITHOUT_OWNER_MS = 10_000;

/** A lock is a directory with its owner's pid in it; that of a process that is gone is taken away. */
export async function withLock<T>(path: string, action: () => Promise<T>): Promise<T> {
  while (!tryLock(path)) {
    if (isStale(path)) rmSync(path, { recursive: true, force: true });
    else await sleep(200);
  }
  try {
    return await action();
  } finally {
    rmSync(path, { recursive: true, force: true });
  }
}

function tryLock(path: string): boolean {
  try {
    mkdirSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
  writeFileSync(join(path, "pid"), `${process.pid}`);
  return true;
}

function isStale(path: string): boolean {
  let pid: number;
  try {
    pid = Number(readFileSync(join(path, "pid"), "utf8"));
  } catch {
    // its owner is between the two steps of taking it, or died there
    const made = statSync(path, { throwIfNoEntry: false });
    return made !== undefined && Date.now() - made.mtimeMs > LOCK_WITHOUT_OWNER_MS;
  }
  return pid > 0 && !isAlive(pid);
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
