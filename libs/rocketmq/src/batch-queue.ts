/**
 * Batches of one topic, self-clocking: a full batch leaves while fewer than `maxInFlight` are on
 * their way, a partial one only when none is, so that what arrives meanwhile forms the next.
 *
 * The server stores a batch whole or not at all. When it refuses one for a message's sake, the
 * batch is halved until the bad message stands alone. A batch that failed is sent again before
 * anything newer.
 */
import type { LanePort, Pending, SendFailure, SendQueue } from "./lane-port.ts";
import { ABANDONED, SENT } from "./lane-port.ts";
import { type MessageType, type OutgoingMessage, messageTypes } from "./send-encoder.ts";
import { legalGroup } from "./legal-properties.ts";

interface Batch<M extends OutgoingMessage> {
  readonly items: readonly Pending<M>[];
  /** Null: to be encoded. */
  request: Buffer | null;
}

/** Messages without a group on a FIFO topic: they share one. */
const NO_GROUP = "-";

export class BatchQueue<M extends OutgoingMessage> implements SendQueue<M> {
  readonly #port: LanePort<M>;
  readonly #type: MessageType;
  readonly #maxInFlight: number;
  #queue: Pending<M>[] = [];
  #head = 0;
  #again: Batch<M>[] = [];
  #inFlight = 0;

  constructor(port: LanePort<M>, type: MessageType, maxInFlight: number) {
    this.#port = port;
    this.#type = type;
    this.#maxInFlight = maxInFlight;
  }

  get waiting(): number {
    return this.#queue.length - this.#head + this.#again.reduce((sum, batch) => sum + batch.items.length, 0);
  }

  push(item: Pending<M>): void {
    this.#queue.push(item);
  }

  pump(): void {
    while (!this.#port.paused && this.#inFlight < this.#maxInFlight) {
      const again = this.#again.shift();
      const batch = again ? this.#checked(again) : this.#take();
      if (batch === null) {
        if (again) continue;
        return;
      }
      this.#send(batch);
    }
  }

  /** What may still be sent of a batch, null when nothing is. */
  #checked(batch: Batch<M>): Batch<M> | null {
    if (batch.items.every(({ message }) => this.#port.maySend(message))) return batch;
    const items = batch.items.filter((item) => this.#mine(item));
    return items.length > 0 ? { items, request: null } : null;
  }

  #mine(item: Pending<M>): boolean {
    if (this.#port.maySend(item.message)) return true;
    item.done(ABANDONED, item.message);
    return false;
  }

  #take(): Batch<M> | null {
    const backlog = this.#queue.length - this.#head;
    const { batchMessages, maxBatchMessages, maxBatchBytes, encoder } = this.#port;
    if (backlog === 0 || (this.#inFlight > 0 && backlog < batchMessages)) return null;
    const limit = backlog >= batchMessages * 4 ? maxBatchMessages : batchMessages;
    const items: Pending<M>[] = [];
    let sizeBytes = 0;
    while (this.#head < this.#queue.length && items.length < limit) {
      const item = this.#queue[this.#head]!;
      if (!this.#mine(item)) {
        this.#head++;
        continue;
      }
      const body = this.#port.bodyOf(item.message);
      // a message that may have to be changed goes alone
      const alone = item.message.body.length === 0;
      if (items.length > 0 && (alone || sizeBytes + body.length + 32_768 > maxBatchBytes)) break;
      this.#head++;
      items.push(item);
      this.#encode(item, body);
      sizeBytes = encoder.sizeBytes;
      if (alone) break;
    }
    if (this.#head === this.#queue.length) {
      this.#queue = [];
      this.#head = 0;
    } else if (this.#head > 4096) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
    return items.length === 0 ? null : { items, request: encoder.take() };
  }

  #encode({ message }: Pending<M>, body: Buffer): void {
    const group = this.#type === messageTypes.fifo ? legalGroup(message.group) || NO_GROUP : "";
    this.#port.encoder.add(message, body, this.#type, group, this.#port.now());
  }

  #send(batch: Batch<M>): void {
    if (batch.request === null) {
      for (const item of batch.items) this.#encode(item, this.#port.bodyOf(item.message));
      batch.request = this.#port.encoder.take();
    }
    this.#inFlight++;
    this.#port.call(batch.request, batch.items.length, (failure) => {
      this.#inFlight--;
      this.#answered(batch, failure);
      this.pump();
    });
  }

  #answered(batch: Batch<M>, failure: SendFailure | null): void {
    if (failure === null) {
      for (const { done, message } of batch.items) done(SENT, message);
      return;
    }
    if (failure.kind !== "refused") {
      this.#again.push(batch);
      this.#port.failed(failure);
      return;
    }
    const [only] = batch.items;
    if (batch.items.length > 1) {
      const middle = batch.items.length >>> 1;
      this.#again.unshift({ items: batch.items.slice(0, middle), request: null }, { items: batch.items.slice(middle), request: null });
    } else if (this.#port.refusedAlone(only!.message, failure.status)) {
      this.#again.unshift({ items: batch.items, request: null });
    } else {
      only!.done({ kind: "refused", code: failure.status.code, reason: failure.status.reason }, only!.message);
    }
  }

  takeAll(): Pending<M>[] {
    const items = [...this.#again.flatMap((batch) => batch.items), ...this.#queue.slice(this.#head)];
    this.#again = [];
    this.#queue = [];
    this.#head = 0;
    return items;
  }
}
