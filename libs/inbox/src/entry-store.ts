import type { StoredEntry, StoredMessage } from "./session-queue.ts";

/** The entries somebody wants something of, oldest first, and the envelopes of the newest in memory. */
export class EntryStore {
  readonly #entries = new Map<number, StoredEntry>();
  readonly #cached = new Set<StoredEntry>();
  readonly #cacheBytes: number;
  #cachedBytes = 0;

  constructor(cacheBytes: number) {
    this.#cacheBytes = cacheBytes;
  }

  /** Kept from here on, behind all others. */
  add(entry: StoredEntry): void {
    this.#entries.set(entry.sequence, entry);
  }

  get(sequence: number): StoredEntry | undefined {
    return this.#entries.get(sequence);
  }

  get oldestSequence(): number | null {
    for (const sequence of this.#entries.keys()) return sequence;
    return null;
  }

  *wantedMessages(): Generator<StoredMessage> {
    for (const entry of this.#entries.values()) for (const message of entry.messages) if (message.wanted > 0) yield message;
  }

  dropUnwanted(): void {
    for (const entry of this.#entries.values()) if (entry.wanted === 0) this.#forget(entry);
  }

  /** One queue less wants it. */
  release(message: StoredMessage): void {
    if (--message.wanted > 0) return;
    message.envelope = null;
    if (--message.entry.wanted === 0) this.#forget(message.entry);
  }

  #forget(entry: StoredEntry): void {
    this.#uncache(entry);
    if (this.#entries.get(entry.sequence) === entry) this.#entries.delete(entry.sequence);
  }

  /** Its envelopes are in memory: those of others may have to leave, never its own. */
  cache(entry: StoredEntry, sizeBytes: number): void {
    this.#uncache(entry);
    entry.cachedBytes = sizeBytes;
    this.#cachedBytes += sizeBytes;
    this.#cached.add(entry);
    for (const oldest of this.#cached) {
      if (this.#cachedBytes <= this.#cacheBytes || oldest === entry) break;
      this.#uncache(oldest);
      for (const message of oldest.messages) message.envelope = null;
    }
  }

  #uncache(entry: StoredEntry): void {
    if (!this.#cached.delete(entry)) return;
    this.#cachedBytes -= entry.cachedBytes;
    entry.cachedBytes = 0;
  }
}

export function newEntry(sequence: number): StoredEntry {
  return { sequence, wanted: 0, messages: [], cachedBytes: 0, loading: false, waiting: null };
}
