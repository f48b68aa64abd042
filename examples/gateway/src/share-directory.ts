/**
 * The shares of a gateway: one directory each, with the index of what its bucket holds. An index is
 * built beside the old one and takes its place in one rename, so that a reader, and the next start
 * after a crash, see a whole index or the one before.
 */
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { StoredObject } from "./object-store.ts";

export const INDEX_FILE = "index.jsonl";
const SUMMARY_FILE = "index.json";

export interface IndexSummary {
  readonly prefix: string;
  readonly objects: number;
  readonly sizeBytes: number;
  readonly builtAt: string;
}

export interface ShareInfo {
  readonly share: string;
  readonly index: IndexSummary | null;
}

export class ShareDirectory {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  async prepare(shares: readonly string[]): Promise<void> {
    for (const share of shares) await mkdir(join(this.#root, share), { recursive: true });
  }

  async list(): Promise<ShareInfo[]> {
    const entries = await readdir(this.#root, { withFileTypes: true });
    const shares = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
    return Promise.all(shares.sort().map(async (share) => ({ share, index: await this.#summary(share) })));
  }

  async has(share: string): Promise<boolean> {
    return (await this.list()).some((info) => info.share === share);
  }

  /** @param pages what the bucket holds @param onPage told after each page is written */
  async buildIndex(share: string, prefix: string, pages: AsyncIterable<readonly StoredObject[]>, onPage: (objects: number) => void): Promise<IndexSummary> {
    const directory = join(this.#root, share);
    let objects = 0;
    let sizeBytes = 0;
    await replaceFile(directory, INDEX_FILE, async (file) => {
      for await (const page of pages) {
        await file.appendFile(page.map((object) => `${JSON.stringify(object)}\n`).join(""));
        objects += page.length;
        for (const object of page) sizeBytes += object.sizeBytes;
        onPage(objects);
      }
    });
    const summary: IndexSummary = { prefix, objects, sizeBytes, builtAt: new Date().toISOString() };
    await replaceFile(directory, SUMMARY_FILE, (file) => file.appendFile(JSON.stringify(summary)));
    return summary;
  }

  async #summary(share: string): Promise<IndexSummary | null> {
    try {
      return JSON.parse(await readFile(join(this.#root, share, SUMMARY_FILE), "utf8")) as IndexSummary;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
      throw error;
    }
  }
}

async function replaceFile(directory: string, name: string, fill: (file: FileHandle) => Promise<void>): Promise<void> {
  const path = join(directory, name);
  const fresh = `${path}.new`;
  const file = await open(fresh, "w");
  try {
    await fill(file);
    await file.sync();
  } catch (error) {
    await file.close();
    await rm(fresh, { force: true });
    throw error;
  }
  await file.close();
  await rename(fresh, path);
  const parent = await open(directory, "r");
  try {
    await parent.sync();
  } finally {
    await parent.close();
  }
}
