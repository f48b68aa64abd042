/**
 * Messages of a FIFO topic: single sends, one in flight per message group, many groups side by
 * side. The proxy ignores message groups inside a batch, so nothing is batched here. Messages
 * without a group want no order: they are spread over some.
 */
import { ABANDONED, type LanePort, type Pending, type SendFailure, type SendQueue, SENT } from "./lane-port.ts";
import { legalGroup } from "./legal-properties.ts";
import { messageTypes, type OutgoingMessage } from "./send-encoder.ts";

const SPREAD = 64;

interface Group<M extends OutgoingMessage> {
  readonly name: string;
  readonly items: Pending<M>[];
}

export class FifoQueue<M extends OutgoingMessage> implements SendQueue<M> {
  readonly #port: LanePort<M>;
  readonly #maxInFlight: number;
  readonly #groups = new Map<string, Group<M>>();
  /** Groups with something to send and nothing in flight. */
  #ready: Group<M>[] = [];
  #inFlight = 0;
  #waiting = 0;
  #spread = 0;

  constructor(port: LanePort<M>, maxInFlight: number) {
    this.#port = port;
    this.#maxInFlight = maxInFlight;
  }

  get waiting(): number {
    return this.#waiting;
  }

  push(item: Pending<M>): void {
    const name = legalGroup(item.message.group) || `-${(this.#spread = (this.#spread + 1) % SPREAD)}`;
    this.#waiting++;
    const known = this.#groups.get(name);
    if (known) {
      known.items.push(item);
      return;
    }
    const group: Group<M> = { name, items: [item] };
    this.#groups.set(name, group);
    this.#ready.push(group);
  }

  pump(): void {
    while (!this.#port.paused && this.#inFlight < this.#maxInFlight) {
      const group = this.#ready.shift();
      if (!group) return;
      const item = group.items[0]!;
      if (this.#port.maySend(item.message)) this.#send(group, item);
      else {
        item.done(ABANDONED, item.message);
        this.#next(group);
      }
    }
  }

  #send(group: Group<M>, item: Pending<M>): void {
    const { message } = item;
    this.#port.encoder.add(message, this.#port.bodyOf(message), messageTypes.fifo, group.name, this.#port.now());
    this.#inFlight++;
    this.#port.call(this.#port.encoder.take(), 1, (failure) => {
      this.#inFlight--;
      this.#answered(group, item, failure);
      this.pump();
    });
  }

  #answered(group: Group<M>, item: Pending<M>, failure: SendFailure | null): void {
    const { message, done } = item;
    if (failure === null) done(SENT, message);
    else if (failure.kind !== "refused") {
      this.#ready.unshift(group);
      this.#port.failed(failure);
      return;
    } else if (this.#port.refusedAlone(message, failure.status)) {
      this.#ready.unshift(group);
      return;
    } else done({ kind: "refused", code: failure.status.code, reason: failure.status.reason }, message);
    this.#next(group);
  }

  /** The first of the group is done with. */
  #next(group: Group<M>): void {
    group.items.shift();
    this.#waiting--;
    if (group.items.length > 0) this.#ready.push(group);
    else this.#groups.delete(group.name);
  }

  takeAll(): Pending<M>[] {
    const ready = this.#ready;
    this.#ready = [];
    for (const group of ready) this.#groups.delete(group.name);
    const items = ready.flatMap((group) => group.items);
    this.#waiting -= items.length;
    return items;
  }
}
