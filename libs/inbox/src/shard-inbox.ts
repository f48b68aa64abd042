/**
 * The inbox of one shard. Entries of the stream are taken in order; every message is matched
 * exactly against the persistent subscriptions (or goes to its P2P target), gets a position if
 * anybody wants it, and waits in the queue of each session that does: once per session, at the
 * highest QoS of its matching subscriptions, with all their identifiers [MQTT-3.3.4-3]. Only an
 * effective QoS above 0 waits: the rest is live.
 *
 * Queues of sessions with a receiver are sent up to a window; an acknowledgement takes a position
 * out; a new receiver gets everything not acknowledged again, oldest first, marked as redelivery.
 * A redone append of the router is recognised by its log sequence and dropped.
 *
 * Envelopes of the newest entries are kept in memory up to a limit; older ones are read again from
 * the stream when their turn comes: `collect` says which, `loaded` brings them.
 */
import { decodeEnvelope, OWN_PARTITION, type DeliveryReceiver, type Envelope, type InboxEntry, type StoredSubscription } from "@hawser/wire";
import { CHECKPOINT_RESERVE, encodeCheckpoint, type Checkpoint } from "./checkpoint.ts";
import { EntryStore, newEntry } from "./entry-store.ts";
import { SessionQueue, type InboxReceiver, type Pending, type ReceiptRequest, type SessionIdentity, type StoredEntry, type StoredMessage } from "./session-queue.ts";
import { SubscriptionIndex } from "./subscription-index.ts";

export interface InboxLimits {
  /** Messages one session may have waiting; beyond it the oldest is dropped. */
  readonly maxMessages: number;
  readonly maxAgeMs: number;
  /** Messages on their way to one client. */
  readonly windowMessages: number;
  /** Envelopes kept in memory. */
  readonly cacheBytes: number;
}

export interface InboxStats {
  queued: number;
  acknowledged: number;
  redelivered: number;
  /** Appends a router did twice. */
  duplicates: number;
  droppedFull: number;
  droppedAge: number;
  /** The stream did not have it any more. */
  droppedLost: number;
  /** Of a format that is not known. */
  unreadable: number;
}

/** One envelope for connections of one ingress. */
export interface OutgoingDelivery {
  readonly ingress: string;
  readonly receivers: DeliveryReceiver[];
  readonly envelope: Buffer;
  readonly receipt: ReceiptRequest | null;
}

/** Entries read ahead for one queue whose envelopes are not in memory. */
const READ_AHEAD = 8;
/** Of one delivery: 40 KB at most besides the envelope. */
const RECEIVERS_MAX = 1000;

export class ShardInbox {
  readonly stats: InboxStats = { queued: 0, acknowledged: 0, redelivered: 0, duplicates: 0, droppedFull: 0, droppedAge: 0, droppedLost: 0, unreadable: 0 };
  readonly subscriptions = new SubscriptionIndex();
  readonly #limits: InboxLimits;
  readonly #queues = new Map<string, SessionQueue>();
  readonly #entries: EntryStore;
  readonly #ready = new Set<SessionQueue>();
  readonly #highWater = new Map<number, number>();
  #readSequence = 0;
  #nextPosition = 1;
  /** Of the checkpoint that is safe, and of the next one. */
  #reservedPosition = 0;
  /** Something the checkpoint must say has changed. */
  dirty = false;

  constructor(limits: InboxLimits) {
    this.#limits = limits;
    this.#entries = new EntryStore(limits.cacheBytes);
  }

  get readSequence(): number {
    return this.#readSequence;
  }

  get size(): number {
    return this.stats.queued;
  }

  // sessions

  queue(instance: string, clientId: string): SessionQueue | undefined {
    return this.#queues.get(`${instance}/${clientId}`);
  }

  open(identity: SessionIdentity): SessionQueue {
    const key = `${identity.instance}/${identity.clientId}`;
    const known = this.#queues.get(key);
    if (known) {
      if (known.identity.bornEpoch === identity.bornEpoch && known.identity.bornCounter === identity.bornCounter) return known;
      this.close(known);
    }
    const queue = new SessionQueue(identity);
    this.#queues.set(key, queue);
    return queue;
  }

  /** The session has ended: what waits for it is forgotten. */
  close(queue: SessionQueue): void {
    this.subscriptions.remove(queue);
    for (const pending of [...queue.pending()]) {
      queue.remove(pending.message.position);
      this.#release(pending);
    }
    queue.receiver = null;
    this.#ready.delete(queue);
    const key = `${queue.identity.instance}/${queue.identity.clientId}`;
    if (this.#queues.get(key) === queue) this.#queues.delete(key);
    this.dirty = true;
  }

  subscribe(queue: SessionQueue, subscription: StoredSubscription): void {
    this.subscriptions.subscribe(queue, subscription);
  }

  unsubscribe(queue: SessionQueue, filter: string): void {
    this.subscriptions.unsubscribe(queue, filter);
  }

  // connections

  /** The session's client is there, or there again: what is not acknowledged is sent (again). */
  attach(queue: SessionQueue, receiver: InboxReceiver): void {
    queue.receiver = receiver;
    queue.rewind();
    if (queue.length > 0) this.#ready.add(queue);
  }

  detach(queue: SessionQueue): void {
    queue.receiver = null;
    queue.rewind();
    this.#ready.delete(queue);
  }

  /** @returns how many of the positions were waiting */
  acknowledge(queue: SessionQueue, positions: readonly number[]): number {
    let count = 0;
    for (const position of positions) {
      const pending = queue.remove(position);
      if (!pending) continue;
      this.#release(pending);
      count++;
    }
    if (count > 0 && queue.receiver && queue.peek()) this.#ready.add(queue);
    this.stats.acknowledged += count;
    return count;
  }

  // entries

  /** Whether an entry of so many messages can be numbered before the next checkpoint is safe. */
  canTake(messages: number): boolean {
    return this.#nextPosition + messages <= this.#reservedPosition;
  }

  /**
   * @param sequence of the stream; what was taken before is ignored
   * @param receiptOf asked about stored P2P messages
   */
  take(entry: InboxEntry, sequence: number, receiptOf?: (envelope: Envelope) => ReceiptRequest | null): void {
    if (sequence <= this.#readSequence) return;
    this.#readSequence = sequence;
    this.dirty = true;
    if (entry.partition !== OWN_PARTITION && entry.logSequence > 0) {
      if (entry.logSequence <= (this.#highWater.get(entry.partition) ?? 0)) {
        this.stats.duplicates++;
        return;
      }
      this.#highWater.set(entry.partition, entry.logSequence);
    }
    let stored: StoredEntry | null = null;
    let sizeBytes = 0;
    for (const [index, message] of entry.messages.entries()) {
      sizeBytes += message.envelope.length;
      const envelope = readEnvelope(message.envelope);
      if (envelope === null) {
        this.stats.unreadable++;
        continue;
      }
      const matched = this.#match(message.instance, envelope);
      if (matched.length === 0) continue;
      stored ??= newEntry(sequence);
      const kept: StoredMessage = {
        position: this.#nextPosition++,
        entry: stored,
        index,
        publishedAtMs: envelope.publishedAtMs,
        wanted: 0,
        envelope: message.envelope,
        lost: false,
        receipt: envelope.target !== null && receiptOf ? receiptOf(envelope) : null,
      };
      stored.messages.push(kept);
      stored.wanted++;
      for (const queue of matched) {
        this.#push(queue, { message: kept, qos: queue.matchQos, retain: queue.matchRetain, identifiers: queue.matchIdentifiers ?? NONE, sent: false, done: false });
      }
    }
    if (!stored || stored.wanted === 0) return;
    this.#entries.add(stored);
    this.#entries.cache(stored, sizeBytes);
  }

  #match(instance: string, envelope: Envelope): readonly SessionQueue[] {
    if (envelope.target === null) return this.subscriptions.match(instance, envelope);
    const queue = this.queue(instance, envelope.target);
    return queue ? this.subscriptions.target(queue, envelope) : [];
  }

  #push(queue: SessionQueue, pending: Pending): void {
    if (queue.length >= this.#limits.maxMessages) {
      const oldest = queue.removeOldest();
      if (oldest) {
        this.stats.droppedFull++;
        this.#release(oldest);
      }
    }
    pending.message.wanted++;
    queue.push(pending);
    this.stats.queued++;
    if (queue.receiver && queue.outstanding < this.#limits.windowMessages) this.#ready.add(queue);
  }

  #release(pending: Pending): void {
    this.stats.queued--;
    this.dirty = true;
    this.#entries.release(pending.message);
  }

  /** Drops what waited too long. */
  expire(nowMs: number): void {
    const before = nowMs - this.#limits.maxAgeMs;
    for (const queue of this.#queues.values()) {
      for (let pending = queue.removeOlder(before); pending; pending = queue.removeOlder(before)) {
        this.stats.droppedAge++;
        this.#release(pending);
        if (queue.receiver && queue.peek()) this.#ready.add(queue);
      }
    }
  }

  // sending

  /**
   * What can be sent now. Deliveries of one ingress are in order of position, so every session
   * gets its queue in order.
   * @param load told the sequences of entries that must be read again; `loaded` answers
   */
  collect(load: (sequence: number) => void): OutgoingDelivery[] {
    if (this.#ready.size === 0) return [];
    const perIngress = new Map<string, Map<StoredMessage, OutgoingDelivery>>();
    for (const queue of this.#ready) this.#collectQueue(queue, perIngress, load);
    this.#ready.clear();
    const all: OutgoingDelivery[] = [];
    for (const deliveries of perIngress.values()) {
      const ordered = [...deliveries.entries()].sort(([a], [b]) => a.position - b.position);
      for (const [, delivery] of ordered) {
        const { receivers } = delivery;
        if (receivers.length <= RECEIVERS_MAX) all.push(delivery);
        else for (let at = 0; at < receivers.length; at += RECEIVERS_MAX) all.push({ ...delivery, receivers: receivers.slice(at, at + RECEIVERS_MAX) });
      }
    }
    return all;
  }

  #collectQueue(queue: SessionQueue, perIngress: Map<string, Map<StoredMessage, OutgoingDelivery>>, load: (sequence: number) => void): void {
    const { receiver } = queue;
    if (!receiver) return;
    while (queue.outstanding < this.#limits.windowMessages) {
      const pending = queue.peek();
      if (!pending) return;
      const { message } = pending;
      if (message.lost) {
        queue.remove(message.position);
        this.stats.droppedLost++;
        this.#release(pending);
        continue;
      }
      if (!message.envelope) return this.#wait(queue, load);
      queue.advance();
      let deliveries = perIngress.get(receiver.ingress);
      if (!deliveries) perIngress.set(receiver.ingress, (deliveries = new Map()));
      let delivery = deliveries.get(message);
      if (!delivery) deliveries.set(message, (delivery = { ingress: receiver.ingress, receivers: [], envelope: message.envelope, receipt: message.receipt }));
      if (pending.sent) this.stats.redelivered++;
      else this.dirty = true;
      delivery.receivers.push({
        connection: receiver.connection,
        sequence: receiver.sequence,
        position: message.position,
        qos: pending.qos,
        redelivery: pending.sent,
        retain: pending.retain,
        identifiers: pending.identifiers,
      });
      pending.sent = true;
    }
  }

  #wait(queue: SessionQueue, load: (sequence: number) => void): void {
    let first = true;
    for (const { message } of queue.upcoming(READ_AHEAD)) {
      const { entry } = message;
      if (message.envelope) continue;
      if (first) (entry.waiting ??= new Set()).add(queue);
      first = false;
      if (entry.loading) continue;
      entry.loading = true;
      load(entry.sequence);
    }
  }

  /** @param entry null when the stream does not have it any more. Collect again after it, at once. */
  loaded(sequence: number, entry: InboxEntry | null): void {
    const stored = this.#entries.get(sequence);
    if (!stored) return;
    stored.loading = false;
    let sizeBytes = 0;
    for (const message of stored.messages) {
      if (message.wanted === 0) continue;
      const envelope = entry?.messages[message.index]?.envelope;
      if (!envelope) message.lost = true;
      else message.envelope = envelope;
      sizeBytes += envelope?.length ?? 0;
    }
    if (entry) this.#entries.cache(stored, sizeBytes);
    this.#wake(stored);
  }

  /** It could not be read now: who waits for it asks again. */
  loadFailed(sequence: number): void {
    const stored = this.#entries.get(sequence);
    if (!stored) return;
    stored.loading = false;
    this.#wake(stored);
  }

  #wake(stored: StoredEntry): void {
    for (const queue of stored.waiting ?? []) if (queue.receiver) this.#ready.add(queue);
    stored.waiting = null;
  }

  // checkpoints

  /** Entries below it are wanted by nobody, as far as this owner has read. */
  get trimSequence(): number {
    return this.#entries.oldestSequence ?? this.#readSequence + 1;
  }

  /** Encodes what is now and reserves positions ahead, valid when the write is safe: tell `checkpointSafe`. */
  checkpoint(epoch: number): { record: Buffer; reservedPosition: number; trimSequence: number } {
    this.dirty = false;
    const reservedPosition = this.#nextPosition + CHECKPOINT_RESERVE;
    const trimSequence = this.trimSequence;
    const record = encodeCheckpoint({
      epoch,
      readSequence: this.#readSequence,
      reservedPosition,
      trimSequence,
      highWater: this.#highWater,
      messages: this.#entries.wantedMessages(),
      sessions: this.#waitingSessions(),
    });
    return { record, reservedPosition, trimSequence };
  }

  checkpointSafe(reservedPosition: number): void {
    this.#reservedPosition = Math.max(this.#reservedPosition, reservedPosition);
  }

  *#waitingSessions(): Generator<SessionIdentity & { length: number; pending: Iterable<Pending> }> {
    for (const queue of this.#queues.values()) if (queue.length > 0) yield { ...queue.identity, length: queue.length, pending: queue.pending() };
  }

  /** At acquisition, when every session of the shard is open: what ended meanwhile is dropped. */
  restore(checkpoint: Checkpoint): void {
    this.#readSequence = checkpoint.readSequence;
    this.#nextPosition = checkpoint.reservedPosition;
    for (const [partition, sequence] of checkpoint.highWater) this.#highWater.set(partition, sequence);
    const byToken = new Map([...this.#queues.values()].map((queue) => [queue.identity.token, queue]));
    const messages = checkpoint.messages.map((message): StoredMessage => {
      let entry = this.#entries.get(message.sequence);
      if (!entry) this.#entries.add((entry = newEntry(message.sequence)));
      const stored: StoredMessage = { ...message, entry, wanted: 0, envelope: null, lost: false, receipt: null };
      entry.messages.push(stored);
      return stored;
    });
    for (const session of checkpoint.sessions) {
      const queue = byToken.get(session.token);
      if (!queue || queue.identity.bornEpoch !== session.bornEpoch || queue.identity.bornCounter !== session.bornCounter) continue;
      for (const { message: place, qos, retain, sent, identifiers } of session.pending) {
        const message = messages[place];
        if (!message) continue;
        if (message.wanted++ === 0) message.entry.wanted++;
        queue.push({ message, qos, retain, identifiers, sent, done: false });
        this.stats.queued++;
      }
    }
    this.#entries.dropUnwanted();
    this.dirty = true;
  }
}

function readEnvelope(bytes: Buffer): Envelope | null {
  try {
    return decodeEnvelope(bytes);
  } catch {
    return null;
  }
}

const NONE: readonly number[] = [];
