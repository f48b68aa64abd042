/**
 * The log into the inboxes: for each entry one packed inbox entry per shard some of whose persistent
 * sessions may want its messages. Per shard one append at a time, in the order of the log, repeated
 * until it is stored: the owner of the shard drops a log sequence below the highest it has seen, so
 * a redone append is harmless. An entry that comes out of order carries no log sequence, because it
 * would be dropped too: done again, it is delivered again.
 */
import type { Bus } from "@hawser/bus";
import { errorLine } from "@hawser/errors";
import type { Logger } from "@hawser/telemetry";
import { decodeEnvelope, encodeInboxEntry, type InboxMessage, type LogEntry, RecordKind, subjects } from "@hawser/wire";
import type { Drain, DrainContext } from "./drain.ts";
import { EntryWork } from "./entry-work.ts";
import type { FilterIndex } from "./filter-index.ts";

export interface InboxDrainOptions extends DrainContext {
  readonly bus: Bus;
  readonly filters: FilterIndex;
  readonly log: Logger;
}

interface Append {
  readonly bytes: Buffer;
  readonly work: EntryWork;
}

const RETRY_MS = 250;
const LINE_EVERY_MS = 30_000;

export class InboxDrain implements Drain {
  readonly #options: InboxDrainOptions;
  /** Per shard what waits for its turn; the first is on its way. */
  readonly #queues = new Map<number, Append[]>();
  readonly #found = new Set<number>();
  #toldAtMs = Number.NEGATIVE_INFINITY;
  #stopped = false;
  open = 0;

  constructor(options: InboxDrainOptions) {
    this.#options = options;
  }

  take(entry: LogEntry, sequence: number, late: boolean): void {
    this.open++;
    const work = new EntryWork(sequence, (finished) => {
      this.open--;
      this.#options.finished(finished);
    });
    for (const [shard, messages] of this.#sort(entry)) {
      work.begin();
      const bytes = encodeInboxEntry({ partition: this.#options.partition, logSequence: late ? 0 : sequence, messages });
      const queue = this.#queues.get(shard);
      if (queue) queue.push({ bytes, work });
      else {
        const started = [{ bytes, work }];
        this.#queues.set(shard, started);
        this.#append(shard, started);
      }
    }
    work.end();
  }

  #sort(entry: LogEntry): Map<number, InboxMessage[]> {
    const byShard = new Map<number, InboxMessage[]>();
    if (this.#options.filters.isEmpty) return byShard;
    for (const { kind, destinations, body } of entry.records) {
      if (!destinations.inbox || kind !== RecordKind.publish) continue;
      const { instance } = destinations;
      try {
        this.#options.filters.shardsFor(instance, decodeEnvelope(body).topic, this.#found);
      } catch (error) {
        this.#options.log.error({ instance, problem: errorLine(error) }, "record of the log cannot be read");
      }
      for (const shard of this.#found) {
        const messages = byShard.get(shard);
        if (messages) messages.push({ instance, envelope: body });
        else byShard.set(shard, [{ instance, envelope: body }]);
      }
      this.#found.clear();
    }
    return byShard;
  }

  #append(shard: number, queue: Append[]): void {
    if (this.#stopped) return;
    if (!this.#options.mayAct()) return void setTimeout(() => this.#append(shard, queue), RETRY_MS);
    const { bytes, work } = queue[0]!;
    this.#options.bus.append(subjects.inbox(shard), bytes, (result) => {
      if (this.#stopped) return;
      if (result.kind !== "stored") {
        if (result.kind === "refused") this.#tell(result.reason);
        setTimeout(() => this.#append(shard, queue), RETRY_MS);
        return;
      }
      queue.shift();
      if (queue.length > 0) this.#append(shard, queue);
      else this.#queues.delete(shard);
      work.end();
    });
  }

  #tell(reason: string): void {
    const now = performance.now();
    if (now - this.#toldAtMs < LINE_EVERY_MS) return;
    this.#toldAtMs = now;
    this.#options.log.error({ reason }, "the inbox stream takes nothing: the log waits");
  }

  stop(): void {
    this.#stopped = true;
  }
}
