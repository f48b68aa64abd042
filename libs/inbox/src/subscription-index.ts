import type { Envelope, Qos, StoredSubscription } from "@hawser/wire";
import { FilterTree } from "./filter-tree.ts";
import type { SessionQueue } from "./session-queue.ts";

/**
 * The persistent subscriptions of a shard: which queues want a message, and which distinct filters
 * there are. What a message found for a queue stands in the queue's match fields until the next.
 */
export class SubscriptionIndex {
  readonly #trees = new Map<string, FilterTree<SessionQueue, StoredSubscription>>();
  readonly #filters = new Map<string, { readonly instance: string; readonly filter: string; count: number }>();
  readonly #ofQueue = new Map<SessionQueue, Set<string>>();
  readonly #matched: SessionQueue[] = [];
  #mark = 0;
  /** The set of filters has changed: whoever publishes it sets it back. */
  changed = false;

  subscribe(queue: SessionQueue, subscription: StoredSubscription): void {
    const { instance } = queue.identity;
    const { filter } = subscription;
    let tree = this.#trees.get(instance);
    if (!tree) this.#trees.set(instance, (tree = new FilterTree()));
    tree.set(filter, queue, subscription);
    let own = this.#ofQueue.get(queue);
    if (!own) this.#ofQueue.set(queue, (own = new Set()));
    if (own.has(filter)) return;
    own.add(filter);
    const key = `${instance}\n${filter}`;
    const known = this.#filters.get(key);
    if (known) known.count++;
    else {
      this.#filters.set(key, { instance, filter, count: 1 });
      this.changed = true;
    }
  }

  unsubscribe(queue: SessionQueue, filter: string): void {
    if (!this.#ofQueue.get(queue)?.delete(filter)) return;
    const { instance } = queue.identity;
    this.#trees.get(instance)?.delete(filter, queue);
    const key = `${instance}\n${filter}`;
    const known = this.#filters.get(key);
    if (!known || --known.count > 0) return;
    this.#filters.delete(key);
    this.changed = true;
  }

  remove(queue: SessionQueue): void {
    for (const filter of [...(this.#ofQueue.get(queue) ?? [])]) this.unsubscribe(queue, filter);
    this.#ofQueue.delete(queue);
  }

  /** Every distinct filter, sorted. */
  filters(): (readonly [instance: string, filter: string])[] {
    return [...this.#filters.keys()].sort().map((key) => {
      const { instance, filter } = this.#filters.get(key)!;
      return [instance, filter] as const;
    });
  }

  /**
   * Queues with a matching subscription and an effective QoS above 0. The array is used again by the
   * next call.
   */
  match(instance: string, envelope: Envelope): readonly SessionQueue[] {
    const matched = this.#matched;
    matched.length = 0;
    const tree = this.#trees.get(instance);
    if (!tree || envelope.qos === 0) return matched;
    const mark = ++this.#mark;
    tree.match(envelope.topic, (queue, subscription) => {
      // [MQTT-3.8.3-3]
      if (subscription.noLocal && envelope.sender === queue.identity.clientId) return;
      const qos = Math.min(subscription.qos, envelope.qos) as Qos;
      const retain = envelope.retain && subscription.retainAsPublished;
      if (queue.matchMark !== mark) {
        queue.matchMark = mark;
        queue.matchQos = qos;
        queue.matchRetain = retain;
        queue.matchIdentifiers = null;
        matched.push(queue);
      } else {
        if (qos > queue.matchQos) queue.matchQos = qos;
        if (retain) queue.matchRetain = true;
      }
      if (subscription.identifier > 0) (queue.matchIdentifiers ??= []).push(subscription.identifier);
    });
    let kept = 0;
    for (const queue of matched) if (queue.matchQos > 0) matched[kept++] = queue;
    matched.length = kept;
    return matched;
  }

  /** A P2P message: its target alone. */
  target(queue: SessionQueue, envelope: Envelope): readonly SessionQueue[] {
    queue.matchMark = ++this.#mark;
    queue.matchQos = envelope.qos;
    queue.matchRetain = false;
    queue.matchIdentifiers = null;
    this.#matched.length = 0;
    this.#matched.push(queue);
    return this.#matched;
  }
}
