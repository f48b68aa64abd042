/**
 * A KV bucket: the stream layout of the NATS KV decision (ADR-8), so that `nats kv` reads it, with
 * what records need: every write names the revision it replaces, every read comes from the leader
 * (`allow_direct` is off), and many writes can be one atomic batch.
 */
import { randomUUID } from "node:crypto";
import type { AppendResult } from "./append-result.ts";
import type { Bus } from "./bus.ts";
import type { StreamSettings } from "./ensure-stream.ts";
import { readBucket, type KvChange } from "./kv-read.ts";
import { KvWatch } from "./kv-watch.ts";

export interface KvOptions {
  /** Copies on a NATS cluster: 1, 3 or 5. */
  readonly replicas?: number;
  /** Revisions kept per key, 1 to 64. */
  readonly history?: number;
}

export interface KvEntry {
  readonly key: string;
  readonly value: Buffer;
  readonly revision: number;
}

/** `conflict` is certain: nothing was written. `unknown` is not: read again before deciding. */
export type WriteResult = { readonly kind: "ok"; readonly revision: number } | { readonly kind: "conflict" } | { readonly kind: "unknown" };

export interface KvWrite {
  readonly key: string;
  /** Null deletes. */
  readonly value: Uint8Array | null;
  /** The revision it replaces; 0 = the key has never been written, or its last write was a delete of this revision. */
  readonly revision: number;
}

/**
 * How long the marker of a deleted key stays. It is what a watch sees of the deletion; a watch that
 * was away longer reads everything anew. Without an end every key ever used would keep one.
 */
const DELETE_MARKER_SECONDS = 3_600;
const WRONG_LAST_SEQUENCE = 10_071;
const WRONG_LAST_SEQUENCE_CONSTANT = 10_164;
const PIPELINED_WRITES = 8;
const BATCH_MAX_WRITES = 900;
const READ_TIMEOUT_MS = 5_000;
/** JSNoMessageFoundErr */
const NO_MESSAGE = '"err_code":10037';
const EMPTY = Buffer.alloc(0);

export function kvStreamConfig(bucket: string, options: KvOptions): StreamSettings {
  return {
    name: `KV_${bucket}`,
    subjects: [`$KV.${bucket}.>`],
    retention: "limits",
    storage: "file",
    discard: "new",
    num_replicas: options.replicas ?? 1,
    max_msgs_per_subject: options.history ?? 1,
    allow_rollup_hdrs: true,
    deny_delete: true,
    allow_direct: false,
    allow_atomic: true,
    allow_msg_ttl: true,
  };
}

export class KvBucket {
  readonly #bus: Bus;
  readonly name: string;
  readonly #prefix: string;

  constructor(bus: Bus, name: string) {
    this.#bus = bus;
    this.name = name;
    this.#prefix = `$KV.${name}.`;
  }

  /** Read from the leader. @returns null when there is no such key. @throws BusError, Error with JetStream's reason */
  async get(key: string): Promise<KvEntry | null> {
    const message = await this.#last(key);
    if (message === null || isMarker(message)) return null;
    return { key, value: message.data ? Buffer.from(message.data, "base64") : EMPTY, revision: message.seq };
  }

  async #last(key: string): Promise<StoredMessage | null> {
    const request = Buffer.from(JSON.stringify({ last_by_subj: this.#prefix + key }));
    const answer = (await this.#bus.request(`$JS.API.STREAM.MSG.GET.KV_${this.name}`, request, READ_TIMEOUT_MS)).toString();
    if (answer.includes(NO_MESSAGE)) return null;
    const { message, error } = JSON.parse(answer) as { message?: StoredMessage; error?: { description: string } };
    if (!message) throw new Error(`KV ${this.name}: ${error?.description ?? "no message"}`);
    return message;
  }

  create(key: string, value: Uint8Array): Promise<WriteResult> {
    return this.#write({ key, value, revision: 0 });
  }

  update(key: string, value: Uint8Array, revision: number): Promise<WriteResult> {
    return this.#write({ key, value, revision });
  }

  /** @param revision undefined = whatever is there */
  delete(key: string, revision?: number): Promise<WriteResult> {
    if (revision !== undefined) return this.#write({ key, value: null, revision });
    return new Promise((resolve) => {
      this.#bus.append(this.#prefix + key, EMPTY, (result) => resolve(writeResult(result)), { headers: DELETE_HEADERS });
    });
  }

  async #write(write: KvWrite): Promise<WriteResult> {
    const result = await this.#send(write);
    if (result.kind !== "conflict" || write.revision !== 0) return result;
    // created, deleted, created again: the delete marker is a revision of its own
    const marker = await this.#deleteMarker(write.key);
    return marker === 0 ? result : this.#send({ ...write, revision: marker });
  }

  #send(write: KvWrite): Promise<WriteResult> {
    return new Promise((resolve) => {
      this.#bus.append(this.#prefix + write.key, write.value ?? EMPTY, (result) => resolve(writeResult(result)), { headers: writeHeaders(write) });
    });
  }

  /** @returns the revision of the delete marker a key ends with, 0 when it ends with a value or cannot be read */
  async #deleteMarker(key: string): Promise<number> {
    try {
      const message = await this.#last(key);
      return message !== null && isMarker(message) ? message.seq : 0;
    } catch {
      return 0;
    }
  }

  /**
   * Several keys at once, each against its revision. Up to 8 are single writes on their way together;
   * more are one atomic batch, and when a stale record refuses the batch the writes are made one by
   * one, so that only the stale ones fail. A key may stand in it once.
   */
  async updateAll(writes: readonly KvWrite[]): Promise<WriteResult[]> {
    if (writes.length <= PIPELINED_WRITES) return Promise.all(writes.map((write) => this.#write(write)));
    const results: WriteResult[] = [];
    for (let from = 0; from < writes.length; from += BATCH_MAX_WRITES) {
      const part = writes.slice(from, from + BATCH_MAX_WRITES);
      const batch = await this.#batch(part);
      if (batch.kind !== "refused") results.push(...part.map((_, at) => batchResult(batch, part.length, at)));
      else results.push(...(await Promise.all(part.map((write) => this.#write(write)))));
    }
    return results;
  }

  #batch(writes: readonly KvWrite[]): Promise<AppendResult> {
    const id = randomUUID();
    return new Promise((resolve) => {
      writes.forEach((write, at) => {
        const headers: Record<string, string> = { ...writeHeaders(write), "Nats-Batch-Id": id, "Nats-Batch-Sequence": String(at + 1) };
        const subject = this.#prefix + write.key;
        const last = at === writes.length - 1;
        if (last) this.#bus.append(subject, write.value ?? EMPTY, resolve, { headers: { ...headers, "Nats-Batch-Commit": "1" } });
        else this.#bus.publishWithHeaders(subject, write.value ?? EMPTY, headers);
      });
    });
  }

  /** Every key under a prefix (`5.` or `5.abc`), without deleted ones. @throws BusError or Error when NATS is away */
  async list(prefix: string): Promise<KvEntry[]> {
    const changes = await readBucket(this.#bus, this.name, prefix);
    return changes.flatMap(({ key, value, revision }) => (value === null ? [] : [{ key, value, revision }]));
  }

  /**
   * Tells every key under a prefix, then every change, newest revision per key, also across outages.
   * Resolves when the initial values have been told.
   */
  async watch(prefix: string, onChange: (change: KvChange) => void): Promise<KvWatch> {
    const watch = new KvWatch(this.#bus, this.name, prefix, onChange);
    await watch.start();
    return watch;
  }
}

interface StoredMessage {
  readonly seq: number;
  readonly data?: string;
  readonly hdrs?: string;
}

function isMarker(message: StoredMessage): boolean {
  return message.hdrs !== undefined && Buffer.from(message.hdrs, "base64").includes("KV-Operation");
}

const DELETE_HEADERS = { "KV-Operation": "DEL", "Nats-TTL": String(DELETE_MARKER_SECONDS) } as const;

function writeHeaders(write: KvWrite): Record<string, string> {
  const expected = { "Nats-Expected-Last-Subject-Sequence": String(write.revision) };
  return write.value === null ? { ...expected, ...DELETE_HEADERS } : expected;
}

function writeResult(result: AppendResult): WriteResult {
  if (result.kind === "stored") return { kind: "ok", revision: result.sequence };
  if (result.kind === "unknown") return result;
  return result.code === WRONG_LAST_SEQUENCE || result.code === WRONG_LAST_SEQUENCE_CONSTANT ? { kind: "conflict" } : { kind: "unknown" };
}

/** The answer to a batch names the sequence of its last message; a batch is stored without gaps. */
function batchResult(batch: AppendResult, size: number, at: number): WriteResult {
  return batch.kind === "stored" ? { kind: "ok", revision: batch.sequence - size + 1 + at } : { kind: "unknown" };
}
