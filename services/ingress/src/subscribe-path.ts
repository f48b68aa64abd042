/**
 * SUBSCRIBE and UNSUBSCRIBE. A subscription is in the local index and in NATS before it is stored,
 * and SUBACK leaves when the NATS flush has returned and, for a persistent session, when the owner
 * has stored it and every router knows it: nothing acknowledged to a publisher after SUBACK is missed.
 * What the owner has not taken is refused, and not held here either.
 */
import { closeReasonOf, reasonCodes, type SubscribeRequest as SubscribePacket, type UnsubscribeRequest as UnsubscribePacket } from "@hawser/mqtt";
import { checkTopicFilter, p2pFilterAllowed, parentOf } from "@hawser/rules";
import type { ShardCaller } from "@hawser/shards";
import { decodeAnswer, encodeFrame, SessionVerb, type StoredSubscription, type SubscribeRequest, type UnsubscribeRequest } from "@hawser/wire";
import type { Client } from "./client.ts";
import type { FanOut } from "./fan-out.ts";
import type { IngressTelemetry } from "./ingress-telemetry.ts";

const OWNER_TIMEOUT_MS = 10_000;
const OWNER_PATIENCE_MS = 20_000;
const FLUSH_AGAIN_MS = 250;
const PLAIN_MAX_FILTER_LENGTH = 65_535;

export interface SubscribePathParts {
  readonly maxTopicLength: number;
  readonly maxSubscriptions: number;
  /** Filters the plain profile refuses (for test suites that want one refused). */
  readonly denied: ReadonlySet<string>;
  readonly fanOut: FanOut;
  readonly sessions: ShardCaller;
  readonly flush: () => Promise<void>;
  readonly telemetry: IngressTelemetry;
}

export class SubscribePath {
  readonly #parts: SubscribePathParts;

  constructor(parts: SubscribePathParts) {
    this.#parts = parts;
  }

  subscribe(client: Client, request: SubscribePacket): void {
    const granted: StoredSubscription[] = [];
    const before = new Map<string, StoredSubscription | undefined>();
    const codes: number[] = [];
    for (const wanted of request.subscriptions) {
      const refusal = this.#refusal(client, wanted.filter);
      if (refusal) {
        this.#parts.telemetry.subscribeRefused(client, refusal.reason, wanted.filter);
        codes.push(refusal.code);
        continue;
      }
      const subscription: StoredSubscription = {
        filter: wanted.filter,
        qos: wanted.qos,
        noLocal: wanted.noLocal,
        retainAsPublished: wanted.retainAsPublished,
        identifier: request.identifier,
      };
      if (!before.has(wanted.filter)) before.set(wanted.filter, client.subscriptions.get(wanted.filter));
      this.#parts.fanOut.subscribe(client, subscription);
      granted.push(subscription);
      codes.push(wanted.qos);
    }
    const finish = (failed: boolean): void => {
      if (client.closed) return;
      if (failed) this.#undo(client, granted, before);
      const answer = failed ? codes.map((code) => (code <= 2 ? reasonCodes.unspecifiedError : code)) : codes;
      client.connection.answerSubscribe(request.packetId, answer);
    };
    if (granted.length === 0) return finish(false);
    this.#whenFlushed(client, () => this.#store(client, granted, finish));
  }

  /** While NATS is away there is no interest: it is restored at the reconnect. */
  #whenFlushed(client: Client, done: () => void): void {
    const again = (): void => {
      if (!client.closed) this.#whenFlushed(client, done);
    };
    this.#parts.flush().then(done, () => setTimeout(again, FLUSH_AGAIN_MS).unref());
  }

  /** What a later SUBSCRIBE has replaced is that one's. */
  #undo(client: Client, granted: readonly StoredSubscription[], before: ReadonlyMap<string, StoredSubscription | undefined>): void {
    for (const subscription of granted) {
      const { filter } = subscription;
      if (client.subscriptions.get(filter) !== subscription) continue;
      const known = before.get(filter);
      if (known) this.#parts.fanOut.subscribe(client, known);
      else this.#parts.fanOut.unsubscribe(client, filter);
    }
  }

  #store(client: Client, subscriptions: readonly StoredSubscription[], finish: (failed: boolean) => void): void {
    if (!client.persistent) return finish(false);
    const request: SubscribeRequest = { ...refOf(client), subscriptions };
    this.#ask(client, SessionVerb.subscribe, request, finish);
  }

  unsubscribe(client: Client, request: UnsubscribePacket): void {
    const codes = request.filters.map((filter) =>
      this.#parts.fanOut.unsubscribe(client, filter) ? reasonCodes.success : reasonCodes.noSubscriptionExisted,
    );
    const finish = (failed: boolean): void => {
      if (client.closed) return;
      if (!failed) client.connection.answerUnsubscribe(request.packetId, codes);
      else if (client.level === 5) client.connection.answerUnsubscribe(request.packetId, codes.map(() => reasonCodes.unspecifiedError));
      // 3.1.1 cannot be told: it tries again on another connection
      else client.connection.close(closeReasonOf("HAWSER_E_UNAVAILABLE"));
    };
    if (!client.persistent) return finish(false);
    const body: UnsubscribeRequest = { ...refOf(client), filters: request.filters };
    this.#ask(client, SessionVerb.unsubscribe, body, finish);
  }

  #ask(client: Client, verb: number, head: object, finish: (failed: boolean) => void): void {
    client.begin();
    const options = { timeoutMs: OWNER_TIMEOUT_MS, patienceMs: OWNER_PATIENCE_MS };
    this.#parts.sessions.call(client.shard, encodeFrame(verb, head), options, (error, bytes) => {
      client.end();
      finish(error !== null || !decodeAnswer(bytes).ok);
    });
  }

  #refusal(client: Client, filter: string): { code: number; reason: string } | null {
    const { instance } = client;
    const refuse = (code: number, reason: string) => ({ code, reason });
    if (filter.startsWith("$share/")) return refuse(reasonCodes.sharedSubscriptionsNotSupported, "shared-subscription");
    const plain = instance.profile === "plain";
    const problem = checkTopicFilter(filter, { maxLength: plain ? PLAIN_MAX_FILTER_LENGTH : this.#parts.maxTopicLength });
    if (problem !== null) return refuse(reasonCodes.topicFilterInvalid, `filter-${problem}`);
    if (plain) return this.#parts.denied.has(filter) ? refuse(reasonCodes.notAuthorized, "denied-by-setting") : null;
    // P2P messages need no subscription and match no filter; asking for somebody else's is refused
    if (!p2pFilterAllowed(filter, client.clientId)) return refuse(reasonCodes.notAuthorized, "foreign-p2p-topic");
    if (!instance.hasParent(parentOf(filter))) return refuse(reasonCodes.notAuthorized, "unknown-parent-topic");
    if (!client.subscriptions.has(filter) && client.subscriptions.size >= this.#parts.maxSubscriptions) {
      return refuse(reasonCodes.quotaExceeded, "too-many-subscriptions");
    }
    return null;
  }
}

function refOf(client: Client): { instance: string; clientId: string; sequence: string } {
  return { instance: client.instance.id, clientId: client.clientId, sequence: client.sequence };
}
