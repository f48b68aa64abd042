/**
 * The persistent filters of a shard for the routers: which messages of the log its inbox needs.
 * One record per shard, written by compare-and-set when the set of filters has changed, at most one
 * write at a time, and once at acquisition, so that the owner before cannot write it any more.
 *
 * A SUBACK waits until every router that drains the log has applied the revision of the write that
 * holds its filters. A router that is still reading for the first time reads that write too, and
 * one that has read already reports how far it is: it counts although it is only joining.
 */
import type { KvBucket } from "@hawser/bus";
import type { MemberBoard } from "@hawser/shards";
import { services } from "@hawser/wire";

export interface FilterPublisherParts {
  readonly bucket: KvBucket;
  readonly board: Pick<MemberBoard, "members">;
  readonly shard: number;
  readonly epoch: number;
  readonly filters: () => (readonly [instance: string, filter: string])[];
  /** Another owner has written it. */
  readonly onFenced: () => void;
}

interface Waiter {
  /** Number of the change it needs to be known. */
  readonly change: number;
  /** Revision that holds it, 0 while it is not written. */
  revision: number;
  readonly dueAtMs: number;
  readonly done: (outcome: KnownOutcome) => void;
}

/** `stopped`: this owner is one no longer, ask the next. */
export type KnownOutcome = "known" | "overdue" | "stopped";

export const FILTERS_VERSION = "filters";
const RETRY_MS = 250;
const WAIT_MS = 15_000;

export class FilterPublisher {
  readonly #parts: FilterPublisherParts;
  #revision = 0;
  #text = "";
  #version = 0;
  #change = 0;
  #writing = false;
  #scheduled = false;
  #stopped = false;
  #waiters: Waiter[] = [];

  constructor(parts: FilterPublisherParts) {
    this.#parts = parts;
  }

  /** Publishes what the shard has now. @throws BusError when NATS is away */
  async start(): Promise<void> {
    await this.#read();
    if (this.#revision === 0 && this.#parts.filters().length === 0) return;
    this.#text = "";
    await this.#write();
  }

  stop(): void {
    this.#stopped = true;
    for (const waiter of this.#waiters) waiter.done("stopped");
    this.#waiters = [];
  }

  /** The filters may have changed. */
  touch(): void {
    this.#change++;
    this.#schedule();
  }

  /** @param done called once, when every router knows what the filters are now */
  whenKnown(done: (outcome: KnownOutcome) => void): void {
    if (this.#stopped) return done("stopped");
    this.#waiters.push({ change: this.#change, revision: 0, dueAtMs: performance.now() + WAIT_MS, done });
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled || this.#writing || this.#stopped) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      if (!this.#writing && !this.#stopped) void this.#write();
    });
  }

  async #read(): Promise<{ epoch: number }> {
    const stored = await this.#parts.bucket.get(String(this.#parts.shard));
    this.#revision = stored?.revision ?? 0;
    if (!stored) return { epoch: 0 };
    const { epoch, version } = JSON.parse(stored.value.toString()) as { epoch: number; version: number };
    this.#version = version;
    return { epoch };
  }

  async #write(): Promise<void> {
    this.#writing = true;
    const change = this.#change;
    const filters = this.#parts.filters();
    const text = JSON.stringify(filters);
    try {
      if (text !== this.#text && !(await this.#update(filters))) {
        this.#writing = false;
        if (!this.#stopped) setTimeout(() => this.#schedule(), RETRY_MS).unref();
        return;
      }
    } finally {
      this.#writing = false;
    }
    this.#text = text;
    for (const waiter of this.#waiters) if (waiter.revision === 0 && waiter.change <= change) waiter.revision = Math.max(this.#revision, 1);
    this.check();
    if (this.#waiters.some(({ revision }) => revision === 0)) this.#schedule();
  }

  async #update(filters: (readonly [string, string])[]): Promise<boolean> {
    const { bucket, shard, epoch, onFenced } = this.#parts;
    const value = Buffer.from(JSON.stringify({ version: this.#version + 1, epoch, filters }));
    const result = await bucket.update(String(shard), value, this.#revision);
    if (result.kind === "ok") {
      this.#version++;
      this.#revision = result.revision;
      return true;
    }
    try {
      const stored = await this.#read();
      if (stored.epoch > epoch) {
        this.stop();
        onFenced();
      }
    } catch {
      // NATS is away: read again at the next attempt
    }
    return false;
  }

  /** Members have changed, or time has passed. */
  check(): void {
    if (this.#waiters.length === 0) return;
    const known = this.#knownRevision();
    const now = performance.now();
    const kept: Waiter[] = [];
    const over: [Waiter, KnownOutcome][] = [];
    for (const waiter of this.#waiters) {
      if (waiter.revision > 0 && waiter.revision <= known) over.push([waiter, "known"]);
      else if (now >= waiter.dueAtMs) over.push([waiter, "overdue"]);
      else kept.push(waiter);
    }
    this.#waiters = kept;
    for (const [waiter, outcome] of over) waiter.done(outcome);
  }

  #knownRevision(): number {
    let known = Number.POSITIVE_INFINITY;
    for (const { state, versions } of this.#parts.board.members(services.router)) {
      const version = versions[FILTERS_VERSION] ?? 0;
      if (state !== "joining" || version > 0) known = Math.min(known, version);
    }
    return known;
  }
}
