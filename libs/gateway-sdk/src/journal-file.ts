/**
 * The journal on disk: an append-only file, one entry per line as `<crc32 hex> <json>`. An append
 * is on the platter (fdatasync) before its promise settles, if it asks for that. A torn last line
 * (the machine died while writing) is cut off when the file is opened; a broken line before the end
 * means the disk has lost something, and the gateway must not go on as if it knew.
 */
import { open, mkdir, readFile, rename, type FileHandle } from "node:fs/promises";
import { dirname, join } from "node:path";
import { crc32 } from "node:zlib";
import { type JournalEntry, JournalState } from "./journal-entries.ts";

const FILE = "journal.log";
/** Below this size a compaction is not worth its writes. */
const COMPACT_MIN_BYTES = 1_048_576;

export class JournalDamaged extends Error {
  override readonly name = "JournalDamaged";
}

export class JournalFile {
  readonly state: JournalState;
  readonly path: string;
  #file: FileHandle;
  #sizeBytes: number;
  #compactedBytes: number;

  private constructor(path: string, state: JournalState, file: FileHandle, sizeBytes: number) {
    this.path = path;
    this.state = state;
    this.#file = file;
    this.#sizeBytes = sizeBytes;
    this.#compactedBytes = sizeBytes;
  }

  /** @param newInstallId given to a gateway whose directory holds no journal yet @throws JournalDamaged */
  static async open(directory: string, newInstallId: string): Promise<JournalFile> {
    await mkdir(directory, { recursive: true });
    const path = join(directory, FILE);
    const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return Buffer.alloc(0);
      throw error;
    });
    const state = new JournalState();
    const goodBytes = replay(bytes, (entry) => state.apply(entry), path);
    const file = await open(path, "a");
    try {
      if (goodBytes < bytes.length) await file.truncate(goodBytes);
      const journal = new JournalFile(path, state, file, goodBytes);
      if (state.installId === "") {
        await journal.append([{ t: "install", id: newInstallId }], true);
        state.installId = newInstallId;
        await syncDirectory(directory);
      }
      return journal;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Does not touch `state`: the machine has applied the entries already. */
  async append(entries: readonly JournalEntry[], sync: boolean): Promise<void> {
    const bytes = Buffer.from(entries.map(encodeLine).join(""));
    await this.#file.appendFile(bytes);
    this.#sizeBytes += bytes.length;
    if (sync) await this.#file.datasync();
  }

  /** Rewrites the file when most of it is history. Not while an append is under way. */
  async compact(now: number): Promise<void> {
    if (this.#sizeBytes < COMPACT_MIN_BYTES || this.#sizeBytes < this.#compactedBytes * 2) return;
    await this.rewrite(now);
  }

  async rewrite(now: number): Promise<void> {
    this.state.prune(now);
    const fresh = await open(`${this.path}.new`, "w");
    let sizeBytes = 0;
    try {
      for (const entry of this.state.snapshot()) {
        const line = encodeLine(entry);
        await fresh.appendFile(line);
        sizeBytes += Buffer.byteLength(line);
      }
      await fresh.datasync();
    } catch (error) {
      await fresh.close();
      throw error;
    }
    await rename(`${this.path}.new`, this.path);
    await syncDirectory(dirname(this.path));
    await this.#file.close();
    this.#file = fresh;
    this.#sizeBytes = this.#compactedBytes = sizeBytes;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

export function encodeLine(entry: JournalEntry): string {
  const json = JSON.stringify(entry);
  return `${crc32(json).toString(16).padStart(8, "0")} ${json}\n`;
}

/** @returns how many bytes of the file are good */
function replay(bytes: Buffer, apply: (entry: JournalEntry) => void, path: string): number {
  let at = 0;
  while (at < bytes.length) {
    const end = bytes.indexOf(0x0a, at);
    const json = bytes.toString("utf8", at + 9, end < 0 ? bytes.length : end);
    const good = end >= 0 && bytes.toString("latin1", at, at + 8) === crc32(json).toString(16).padStart(8, "0");
    if (!good) {
      // whole lines behind it were written, and synced, after it
      if (end >= 0 && end + 1 < bytes.length) throw new JournalDamaged(`${path}: broken at byte ${at}`);
      return at;
    }
    apply(JSON.parse(json) as JournalEntry);
    at = end + 1;
  }
  return at;
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
