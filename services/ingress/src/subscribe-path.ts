/**
 * SUBSCRIBE and UNSUBSCRIBE. A subscription is in the local index and in NATS before it is stored,
 * and SUBACK leaves when the NATS flush has returned and, for a persistent session, when the owner
 * has stored it and every router knows it: nothing acknowledged to a publisher after SUBACK is missed.
 */
import { reasonCodes, type SubscribeRequest as SubscribePacket, type UnsubscribeRequest as UnsubscribePacket } from "@hawser/mqtt";
import { checkTopicFilter, p2pFilterAllowed, parentOf } from "@hawser/rules";
import type { ShardCaller } from "@hawser/shards";
import { decodeAnswer, encodeFrame, SessionVerb, type StoredSubscription, type SubscribeRequest, type UnsubscribeRequest } from "@hawser/wire";
import type { Client } from "./client.ts";
import type { FanOut } from "./fan-out.ts";
import type { IngressTelemetry } from "./ingress-telemetry.ts";

const OWNER_TIMEOUT_MS = 10_000;
const OWNER_PATIENCE_MS = 20_000;
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
      this.#parts.fanOut.subscribe(client, subscription);
      granted.push(subscription);
      codes.push(wanted.qos);
    }
    const finish = (failed: boolean): void => {
      if (client.closed) return;
      const answer = failed ? codes.map((code) => (code <= 2 ? reasonCodes.unspecifiedError : code)) : codes;
      client.connection.answerSubscribe(request.packetId, answer);
    };
    if (granted.length === 0) return finish(false);
    this.#parts.flush().then(
      () => this.#store(client, granted, finish),
      // NATS is away: interest is restored at the reconnect, the owner is asked then
      () => this.#store(client, granted, finish),
    );
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
    const finish = (): void => {
      if (!client.closed) client.connection.answerUnsubscribe(request.packetId, codes);
    };
    if (!client.persistent) return finish();
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
