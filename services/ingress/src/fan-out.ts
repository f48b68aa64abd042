/**
 * Live messages to this process's own subscribers: one topic index per instance, one NATS interest
 * per subject its filters need (topic-subject.ts). Copies of one message through overlapping
 * interests arrive one after the other; the first is matched against the whole index, the others
 * are dropped by (origin, sequence).
 *
 * A persistent session gets what is effectively QoS 1 or 2 from its inbox only, never also live.
 */
import type { CompiledInstance } from "@hawser/catalog";
import { TopicIndex, type OutgoingPublish } from "@hawser/mqtt";
import { decodeEnvelope, filterSubjects, type Envelope, type Qos, type StoredSubscription } from "@hawser/wire";
import { counter, metricNames } from "@hawser/telemetry";
import type { Client } from "./client.ts";
import type { LiveBus } from "./live-bus.ts";
import { outgoingOf } from "./outgoing.ts";
import type { IngressTelemetry } from "./ingress-telemetry.ts";

/** Origins are boots of ingresses and routers: those of long ago are forgotten with the rest. */
const ORIGINS_MAX = 10_000;

export class FanOut {
  readonly #live: LiveBus;
  readonly #telemetry: IngressTelemetry;
  readonly #indexes = new Map<string, TopicIndex<Client, StoredSubscription>>();
  readonly #lastSequence = new Map<string, number>();
  readonly #duplicates = counter(metricNames.liveDuplicates);

  constructor(live: LiveBus, telemetry: IngressTelemetry) {
    this.#live = live;
    this.#telemetry = telemetry;
  }

  /** @returns after a NATS flush everything matching arrives here */
  subscribe(client: Client, subscription: StoredSubscription): void {
    const known = client.subscriptions.has(subscription.filter);
    client.subscriptions.set(subscription.filter, subscription);
    this.#index(client.instance).add(subscription.filter, client, subscription);
    if (known) return;
    const instance = client.instance.id;
    for (const subject of filterSubjects(instance, subscription.filter)) {
      this.#live.addInterest(subject, (envelope) => this.#receive(instance, envelope));
    }
  }

  /** @returns whether there was such a subscription */
  unsubscribe(client: Client, filter: string): boolean {
    if (!client.subscriptions.delete(filter)) return false;
    this.#index(client.instance).remove(filter, client);
    for (const subject of filterSubjects(client.instance.id, filter)) this.#live.removeInterest(subject);
    return true;
  }

  removeAll(client: Client): void {
    for (const filter of [...client.subscriptions.keys()]) this.unsubscribe(client, filter);
  }

  #index(instance: CompiledInstance): TopicIndex<Client, StoredSubscription> {
    let index = this.#indexes.get(instance.id);
    if (!index) this.#indexes.set(instance.id, (index = new TopicIndex()));
    return index;
  }

  #receive(instance: string, bytes: Buffer): void {
    let envelope: Envelope;
    try {
      envelope = decodeEnvelope(bytes);
    } catch (error) {
      return this.#telemetry.badMessage("envelope", error);
    }
    if (this.#lastSequence.get(envelope.origin) === envelope.sequence) return this.#duplicates.add(1);
    if (this.#lastSequence.size >= ORIGINS_MAX) this.#lastSequence.clear();
    this.#lastSequence.set(envelope.origin, envelope.sequence);
    const index = this.#indexes.get(instance);
    if (!index) return;
    const span = this.#telemetry.startDeliver(envelope);
    let outgoing: OutgoingPublish | null = null;
    const receivers = new Map<Client, Merged>();
    index.match(envelope.topic, (client, subscription) => merge(receivers, client, subscription));
    for (const [client, merged] of receivers) {
      if (merged.noLocal && envelope.sender === client.clientId) continue;
      const qos = Math.min(merged.qos, envelope.qos) as Qos;
      if (qos > 0 && client.persistent) continue;
      outgoing ??= outgoingOf(envelope, span);
      client.connection.deliver(outgoing, {
        qos,
        retain: envelope.retain && merged.retainAsPublished,
        identifiers: merged.identifiers,
        dup: false,
        item: null,
      });
    }
    span?.end();
  }
}

interface Merged {
  qos: Qos;
  noLocal: boolean;
  retainAsPublished: boolean;
  identifiers: number[];
}

/** Overlapping filters of one client: one delivery, at the highest QoS, with all identifiers [MQTT-3.3.4-2, -3]. */
function merge(receivers: Map<Client, Merged>, client: Client, subscription: StoredSubscription): void {
  const known = receivers.get(client);
  if (!known) {
    receivers.set(client, {
      qos: subscription.qos,
      noLocal: subscription.noLocal,
      retainAsPublished: subscription.retainAsPublished,
      identifiers: subscription.identifier > 0 ? [subscription.identifier] : [],
    });
    return;
  }
  known.qos = Math.max(known.qos, subscription.qos) as Qos;
  known.noLocal &&= subscription.noLocal;
  known.retainAsPublished ||= subscription.retainAsPublished;
  if (subscription.identifier > 0) known.identifiers.push(subscription.identifier);
}
