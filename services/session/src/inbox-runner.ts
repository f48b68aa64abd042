/**
 * A shard's inbox at work: reads `q.<shard>` from the checkpoint on, sends what can be sent, reads
 * envelopes again that have left memory, writes the checkpoint when something has changed, and
 * purges what nobody wants any more.
 *
 * The checkpoint is stamped with the own epoch before anything is read: from then on the owner
 * before can neither write it nor, because it purges only what its last checkpoint released, purge
 * anything. A checkpoint that would not fit into one record is not written: what was acknowledged
 * since the last one is delivered again after a crash, and nothing is purged, until it fits.
 */
import { type Bus, type KvBucket, StreamReader } from "@hawser/bus";
import { decodeCheckpoint, type InboxLimits, type ReceiptRequest, ShardInbox } from "@hawser/inbox";
import { errorLine } from "@hawser/errors";
import type { Logger } from "@hawser/telemetry";
import { decodeInboxEntry, streams, subjects, type Envelope } from "@hawser/wire";
import type { IngressOrders } from "./ingress-orders.ts";

export interface InboxRunnerParts {
  readonly bus: Bus;
  readonly positions: KvBucket;
  readonly orders: IngressOrders;
  readonly shard: number;
  readonly epoch: number;
  readonly limits: InboxLimits;
  readonly mayServe: () => boolean;
  /** Whether the sender of a stored P2P message wants to know. */
  readonly receiptOf: (envelope: Envelope) => ReceiptRequest | null;
  readonly onFenced: () => void;
  readonly logger: Logger;
}

const RETRY_MS = 250;
const READ_AHEAD_ENTRIES = 100;
/** Between two checkpoints; a large one waits longer, a second per megabyte. */
const CHECKPOINT_MIN_MS = 90;
const CHECKPOINT_BYTES_PER_MS = 1000;
/** What one NATS message may hold, with room for headers. */
const CHECKPOINT_MAX_BYTES = 1_000_000;

export class InboxRunner {
  readonly inbox: ShardInbox;
  readonly #parts: InboxRunnerParts;
  readonly #reader: StreamReader;
  #stalled = false;
  #revision = 0;
  #writing: Promise<void> | null = null;
  #safeTrim = 0;
  #trimmed = 0;
  #trimming = false;
  #pumpScheduled = false;
  #stopped = false;
  #tooLarge = false;
  #checkpointDueMs = 0;

  constructor(parts: InboxRunnerParts) {
    this.#parts = parts;
    this.inbox = new ShardInbox(parts.limits);
    this.#reader = new StreamReader({
      bus: parts.bus,
      stream: streams.inbox,
      subject: subjects.inbox(parts.shard),
      maxInFlight: READ_AHEAD_ENTRIES,
      onMessage: (sequence, data) => this.#take(sequence, data),
      onProblem: (problem) => parts.logger.warn({ shard: parts.shard, problem }, "reading the inbox was interrupted"),
    });
  }

  /** Takes the checkpoint over; every stored session of the shard is open. @throws when NATS is away or another owner was faster */
  async load(): Promise<void> {
    const { positions, shard, epoch } = this.#parts;
    const stored = await positions.get(String(shard));
    if (stored) {
      const checkpoint = decodeCheckpoint(stored.value);
      if (checkpoint.epoch > epoch) throw new Error(`positions of shard ${shard} are of epoch ${checkpoint.epoch}, mine is ${epoch}`);
      this.inbox.restore(checkpoint);
      this.#trimmed = checkpoint.trimSequence;
    }
    this.#revision = stored?.revision ?? 0;
    while (!this.#stopped) {
      const made = this.inbox.checkpoint(epoch);
      const result = await positions.update(String(shard), made.record, this.#revision);
      if (result.kind === "ok") {
        this.#safe(made, result.revision);
        return;
      }
      // lost its answer, or the owner before has written once more: read what is there now
      const now = await positions.get(String(shard));
      const nowEpoch = now ? decodeCheckpoint(now.value).epoch : 0;
      if (nowEpoch > epoch) throw new Error(`positions of shard ${shard} are of epoch ${nowEpoch}, mine is ${epoch}`);
      if (nowEpoch === epoch) {
        this.#safe(made, now!.revision);
        return;
      }
      if (result.kind === "conflict") throw new Error(`positions of shard ${shard} changed while they were read`);
      this.#revision = now?.revision ?? 0;
    }
  }

  #safe(made: { reservedPosition: number; trimSequence: number }, revision: number): void {
    this.#revision = revision;
    this.#safeTrim = made.trimSequence;
    this.inbox.checkpointSafe(made.reservedPosition);
    if (this.#stalled) this.read();
  }

  /** Begins, or begins again, to read behind what is taken. */
  read(): void {
    if (this.#stopped) return;
    this.#stalled = false;
    this.#reader.stop();
    this.#reader.start(this.inbox.readSequence + 1);
  }

  #take(sequence: number, data: Buffer): void {
    if (this.#stopped || this.#stalled) return;
    try {
      const entry = decodeInboxEntry(data);
      if (!this.inbox.canTake(entry.messages.length)) return this.#stall();
      this.inbox.take(entry, sequence, this.#parts.receiptOf);
    } catch (error) {
      this.#parts.logger.error({ shard: this.#parts.shard, sequence, reason: errorLine(error) }, "inbox entry cannot be read, skipped");
      this.inbox.take({ partition: 0, logSequence: 0, messages: [] }, sequence);
    }
    this.pump();
  }

  /** Positions have run out: goes on when the next checkpoint is safe. */
  #stall(): void {
    this.#stalled = true;
    this.#reader.stop();
    this.inbox.dirty = true;
  }

  /** Sends at the end of this tick what can be sent. */
  pump(): void {
    if (this.#pumpScheduled || this.#stopped) return;
    this.#pumpScheduled = true;
    setImmediate(() => {
      this.#pumpScheduled = false;
      this.#pumpNow();
    });
  }

  #pumpNow(): void {
    if (this.#stopped || !this.#parts.mayServe()) return;
    for (const delivery of this.inbox.collect((sequence) => void this.#load(sequence))) this.#parts.orders.deliver(delivery);
  }

  async #load(sequence: number): Promise<void> {
    try {
      const stored = await this.#parts.bus.jsm.streams.getMessage(streams.inbox, { seq: sequence });
      if (this.#stopped) return;
      this.inbox.loaded(sequence, stored ? decodeInboxEntry(stored.data) : null);
      // at once: what was loaded may leave memory again before the end of the tick
      this.#pumpNow();
    } catch (error) {
      this.#parts.logger.warn({ shard: this.#parts.shard, sequence, reason: errorLine(error) }, "inbox entry could not be read again");
      setTimeout(() => {
        this.inbox.loadFailed(sequence);
        this.pump();
      }, RETRY_MS).unref();
    }
  }

  /** Writes the checkpoint if something has changed and it is due; one write at a time. */
  checkpoint(isDue = performance.now() >= this.#checkpointDueMs): Promise<void> {
    if (this.#writing) return this.#writing;
    if (!this.inbox.dirty || this.#stopped || !isDue) return Promise.resolve();
    this.#writing = this.#write().finally(() => (this.#writing = null));
    return this.#writing;
  }

  async #write(): Promise<void> {
    const { positions, shard, epoch, logger, onFenced } = this.#parts;
    const made = this.inbox.checkpoint(epoch);
    this.#checkpointDueMs = performance.now() + Math.max(CHECKPOINT_MIN_MS, made.record.length / CHECKPOINT_BYTES_PER_MS);
    if (made.record.length > CHECKPOINT_MAX_BYTES) {
      if (!this.#tooLarge) logger.error({ shard, sizeBytes: made.record.length }, "positions do not fit into one record: not written");
      this.#tooLarge = true;
      return;
    }
    this.#tooLarge = false;
    const result = await positions.update(String(shard), made.record, this.#revision);
    if (result.kind === "ok") return this.#safe(made, result.revision);
    this.inbox.dirty = true;
    try {
      const now = await positions.get(String(shard));
      if (now && decodeCheckpoint(now.value).epoch !== epoch) {
        this.#stopped = true;
        return onFenced();
      }
      this.#revision = now?.revision ?? 0;
    } catch {
      // NATS is away: the next checkpoint tries again
    }
  }

  /** Purges what the last safe checkpoint released. */
  async trim(): Promise<void> {
    const upTo = this.#safeTrim;
    if (this.#trimming || this.#stopped || upTo <= this.#trimmed || upTo <= 1) return;
    this.#trimming = true;
    try {
      await this.#parts.bus.jsm.streams.purge(streams.inbox, { filter: subjects.inbox(this.#parts.shard), seq: upTo });
      this.#trimmed = upTo;
    } catch {
      // the next round tries again
    } finally {
      this.#trimming = false;
    }
  }

  /** @param orderly write the last checkpoint; false when the shard is somebody else's already */
  async stop(orderly: boolean): Promise<void> {
    this.#reader.stop();
    if (orderly && !this.#stopped) {
      await this.#writing;
      await this.checkpoint(true);
    }
    this.#stopped = true;
  }
}
