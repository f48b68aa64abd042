/**
 * Where things that were fetched are kept: HAWSER_CACHE, else ~/.cache/hawser. Everything is made
 * in a temporary place and renamed, so that an interrupted run leaves nothing half-made, and under
 * a lock, so that two copies of Hawser that start at once fetch once.
 */
import { mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { withLock } from "./lock.ts";

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
