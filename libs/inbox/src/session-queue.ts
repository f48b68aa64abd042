import type { Qos } from "@hawser/wire";

/** One stream message of the inbox that somebody still wants something of. */
export interface StoredEntry {
  /** Sequence in the stream. */
  readonly sequence: number;
  /** Messages of it that are still wanted. */
  wanted: number;
  messages: StoredMessage[];
  /** Bytes while its envelopes are in memory, 0 when they are not. */
  cachedBytes: number;
  loading: boolean;
  /** Queues that cannot go on before it is loaded. */
  waiting: Set<SessionQueue> | null;
}

export interface ReceiptRequest {
  /** Subject the receipt goes to. */
  readonly receiptTo: string;
  readonly token: string;
}

export interface StoredMessage {
  /** Given once per shard, never again for another message, whoever owns the shard. */
  readonly position: number;
  readonly entry: StoredEntry;
  /** Its place in the entry. */
  readonly index: number;
  readonly publishedAtMs: number;
  /** Queues that hold it. */
  wanted: number;
  /** Null while it is only in the stream. */
  envelope: Buffer | null;
  /** It was to be read again, and the stream no longer has it. */
  lost: boolean;
  /** Of a P2P message whose sender wants to know. In memory only. */
  readonly receipt: ReceiptRequest | null;
}

/** A message in the queue of one session. */
export interface Pending {
  readonly message: StoredMessage;
  readonly qos: Qos;
  readonly retain: boolean;
  readonly identifiers: readonly number[];
  /** It was sent before: the next time is a redelivery. */
  sent: boolean;
  done: boolean;
}

export interface SessionIdentity {
  readonly instance: string;
  readonly clientId: string;
  /** Name in keys. */
  readonly token: string;
  /** Tells a session from an earlier one of the same Client ID: (epoch, counter) of the connection that made it. */
  readonly bornEpoch: number;
  readonly bornCounter: number;
}

/** The connection a queue is delivered to. */
export interface InboxReceiver {
  readonly ingress: string;
  readonly connection: number;
  readonly sequence: string;
}

/**
 * What waits for one session, oldest first. Items before `#next` are on their way to the client,
 * at most a window of them; an acknowledgement takes its item out wherever it stands.
 */
export class SessionQueue {
  readonly identity: SessionIdentity;
  receiver: InboxReceiver | null = null;
  #items: Pending[] = [];
  #head = 0;
  #next = 0;
  #length = 0;
  #outstanding = 0;
  // what the message being matched found for this session
  matchMark = 0;
  matchQos: Qos = 0;
  matchRetain = false;
  matchIdentifiers: number[] | null = null;

  constructor(identity: SessionIdentity) {
    this.identity = identity;
  }

  get length(): number {
    return this.#length;
  }

  get outstanding(): number {
    return this.#outstanding;
  }

  push(pending: Pending): void {
    this.#items.push(pending);
    this.#length++;
  }

  /** The next item to send, or null. */
  peek(): Pending | null {
    while (this.#next < this.#items.length && this.#items[this.#next]!.done) this.#next++;
    return this.#items[this.#next] ?? null;
  }

  /** What would be sent after `peek`, for reading ahead. */
  *upcoming(count: number): Generator<Pending> {
    for (let at = this.#next; at < this.#items.length && count > 0; at++) {
      const item = this.#items[at]!;
      if (item.done) continue;
      count--;
      yield item;
    }
  }

  /** The item of `peek` is on its way. */
  advance(): void {
    this.#next++;
    this.#outstanding++;
  }

  /** Everything that is not acknowledged is to be sent again, from the oldest on. */
  rewind(): void {
    this.#next = this.#head;
    this.#outstanding = 0;
  }

  /** @returns the item, or null when there is none at this position (any more) */
  remove(position: number): Pending | null {
    let low = this.#head;
    let high = this.#items.length - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      const found = this.#items[middle]!.message.position;
      if (found < position) low = middle + 1;
      else if (found > position) high = middle - 1;
      else return this.#removeAt(middle);
    }
    return null;
  }

  /** The oldest item that is not on its way; when all are, the oldest. */
  removeOldest(): Pending | null {
    const unsent = this.peek();
    if (unsent) return this.#removeAt(this.#next);
    return this.#length > 0 ? this.#removeAt(this.#head) : null;
  }

  /** The oldest item, if it is older than this. */
  removeOlder(publishedBeforeMs: number): Pending | null {
    const oldest = this.#items[this.#head];
    return oldest && oldest.message.publishedAtMs < publishedBeforeMs ? this.#removeAt(this.#head) : null;
  }

  *pending(): Generator<Pending> {
    for (let at = this.#head; at < this.#items.length; at++) if (!this.#items[at]!.done) yield this.#items[at]!;
  }

  #removeAt(at: number): Pending | null {
    const item = this.#items[at]!;
    if (item.done) return null;
    item.done = true;
    this.#length--;
    if (at < this.#next) this.#outstanding--;
    while (this.#head < this.#items.length && this.#items[this.#head]!.done) this.#head++;
    if (this.#next < this.#head) this.#next = this.#head;
    if (this.#head > 32 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#next -= this.#head;
      this.#head = 0;
    }
    return item;
  }
}
