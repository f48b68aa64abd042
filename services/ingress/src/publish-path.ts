/**
 * A PUBLISH on its way out of the ingress, and the rules of acknowledgement (docs/adr/0007): a
 * publish is completed when every durable destination is safe and, for a live topic, the NATS
 * flush of its tick has returned. QoS 2 goes live only after its append is safe.
 */
import { closeReasonOf, forwardableProperties, reasonCodes, type InboundSlot } from "@hawser/mqtt";
import type { LogWriter } from "@hawser/log";
import type { ShardCaller } from "@hawser/shards";
import {
  decodeAnswer,
  encodeEnvelope,
  encodeFrame,
  encodeP2pRequest,
  RecordKind,
  SessionVerb,
  shardOf,
  type DestinationSet,
  type P2pOutcome,
} from "@hawser/wire";
import type { ActorPath } from "./actor-path.ts";
import type { Client } from "./client.ts";
import type { IngressTelemetry, PublishSpan } from "./ingress-telemetry.ts";
import type { LiveBus, LiveWaiter } from "./live-bus.ts";
import type { PublishedMessage } from "./published-message.ts";
import { RouteCache, type Route } from "./route-publish.ts";

const P2P_TIMEOUT_MS = 5_000;

export interface PublishPathParts {
  readonly member: string;
  readonly shards: number;
  readonly maxTopicLength: number;
  readonly maxPayloadBytes: number;
  readonly giveUpMs: number;
  readonly live: LiveBus;
  readonly log: LogWriter;
  readonly sessions: ShardCaller;
  readonly actors: ActorPath;
  readonly telemetry: IngressTelemetry;
}

export class PublishPath {
  readonly #parts: PublishPathParts;
  readonly #routes: RouteCache;
  #sequence = 0;

  constructor(parts: PublishPathParts) {
    this.#parts = parts;
    this.#routes = new RouteCache({ maxTopicLength: parts.maxTopicLength });
  }

  /** @param slot null for QoS 0 and for a will: nobody is answered */
  publish(client: Client, packet: PublishedMessage, slot: InboundSlot | null): void {
    if (packet.payload.length > this.#parts.maxPayloadBytes && client.instance.profile !== "plain") {
      return this.#refuse(client, slot, reasonCodes.packetTooLarge, "payload-too-large", packet.topic);
    }
    const route = this.#routes.route(client.instance, packet.topic);
    if (route.kind === "refused") return this.#refuse(client, slot, route.code, route.reason, packet.topic);
    if (route.kind === "ignored") return slot ? client.connection.completePublish(slot, reasonCodes.success) : undefined;
    const span = this.#parts.telemetry.startPublish(client, packet);
    if (slot) client.begin();
    if (route.kind === "ordinary") this.#ordinary(client, packet, slot, route, span);
    else if (route.kind === "p2p") this.#p2p(client, packet, slot, route, span);
    else this.#actor(client, packet, slot, route, span);
  }

  #envelope(client: Client, packet: PublishedMessage, target: string | null, span: PublishSpan | null): Buffer {
    return encodeEnvelope({
      origin: this.#parts.member,
      sequence: ++this.#sequence,
      publishedAtMs: Date.now(),
      qos: packet.qos,
      retain: packet.retain,
      sender: client.clientId,
      persistent: client.persistent,
      topic: packet.topic,
      target,
      trace: span?.context ?? null,
      properties: packet.properties ? forwardableProperties(packet.properties) : null,
      payload: packet.payload,
    });
  }

  #ordinary(client: Client, packet: PublishedMessage, slot: InboundSlot | null, route: Route & { kind: "ordinary" }, span: PublishSpan | null): void {
    const { live } = this.#parts;
    const envelope = this.#envelope(client, packet, null, span);
    if (packet.qos === 0) {
      live.publish(route.subject, envelope, null);
      if (route.qos0) this.#append(client, route.qos0, envelope, () => undefined);
      span?.end();
      return;
    }
    const inFlight = new PublishInFlight(this.#settle, client, slot, span, route.acknowledged && packet.qos === 1 ? 2 : 1);
    if (!route.acknowledged) return live.publish(route.subject, envelope, inFlight);
    if (packet.qos === 2) {
      this.#append(client, route.acknowledged, envelope, (outcome) => {
        if (outcome === "stored") live.publish(route.subject, envelope, inFlight);
        else inFlight.part(outcome);
      });
      return;
    }
    this.#append(client, route.acknowledged, envelope, (outcome) => inFlight.part(outcome));
    live.publish(route.subject, envelope, inFlight);
  }

  #append(client: Client, destinations: DestinationSet, envelope: Buffer, done: (outcome: Outcome) => void): void {
    this.#parts.log.append(client.partition, { kind: RecordKind.publish, destinations, body: envelope }, done);
  }

  #p2p(client: Client, packet: PublishedMessage, slot: InboundSlot | null, route: Route & { kind: "p2p" }, span: PublishSpan | null): void {
    const instance = client.instance.id;
    const envelope = this.#envelope(client, packet, route.target, span);
    let waiting = route.destinations ? 2 : 1;
    let result: Outcome | "offline" = "stored";
    const part = (outcome: Outcome | "offline"): void => {
      if (severity[outcome] > severity[result]) result = outcome;
      if (--waiting === 0) this.#settle(client, slot, result, span);
    };
    if (route.destinations) this.#append(client, route.destinations, envelope, part);
    const body = encodeP2pRequest({ instance, storable: client.persistent && packet.qos > 0, receiptTo: "", token: "", envelope });
    const frame = encodeFrame(SessionVerb.p2p, null, body);
    const options = { timeoutMs: P2P_TIMEOUT_MS, patienceMs: this.#parts.giveUpMs };
    this.#parts.sessions.call(shardOf(instance, route.target, this.#parts.shards), frame, options, (error, bytes) => {
      if (error) return part("ambiguous");
      const answer = decodeAnswer<P2pOutcome>(bytes);
      if (!answer.ok || answer.state === "unknown") part("ambiguous");
      else part(answer.state === "offline" ? "offline" : "stored");
    });
  }

  #actor(client: Client, packet: PublishedMessage, slot: InboundSlot | null, route: Route & { kind: "actor" }, span: PublishSpan | null): void {
    if (client.instance.profile !== "plain" && route.device !== client.device) {
      if (slot) client.end();
      span?.end();
      return this.#refuse(client, slot, reasonCodes.notAuthorized, "foreign-device-level", packet.topic);
    }
    const envelope = this.#envelope(client, packet, null, span);
    if (route.liveSubject) this.#parts.live.publish(route.liveSubject, envelope, null);
    const { shard, partition } = client;
    this.#parts.actors.send({ service: route.service, instance: client.instance.id, shard, partition, envelope }, (outcome) => {
      if (outcome === "rejected") {
        this.#parts.telemetry.publishRefused(client, "rejected-by-actor", packet.topic);
        this.#settle(client, slot, "rejected", span);
      } else this.#settle(client, slot, outcome === "accepted" ? "stored" : outcome, span);
    });
  }

  readonly #settle: Settle = (client, slot, outcome, span) => {
    span?.end(outcome);
    if (!slot) return;
    client.end();
    if (client.closed) return;
    if (outcome === "stored") client.connection.completePublish(slot, reasonCodes.success);
    else if (outcome === "offline") client.connection.completePublish(slot, reasonCodes.noMatchingSubscribers);
    // an actor's no is final: a 3.x client, which cannot be told, would only send the same again
    else if (outcome === "rejected") {
      client.connection.completePublish(slot, client.level === 5 ? reasonCodes.implementationSpecificError : reasonCodes.success);
    }
    else if (outcome === "refused" && client.level === 5) client.connection.completePublish(slot, reasonCodes.quotaExceeded);
    else {
      this.#parts.telemetry.publishFailed(client, outcome);
      client.connection.close(closeReasonOf(outcome === "refused" ? "HAWSER_E_LOG_REFUSED" : "HAWSER_E_LOG_AMBIGUOUS"));
    }
  };

  /** MQTT 5 is told why; 3.1.1 has no words for it, its connection is closed. */
  #refuse(client: Client, slot: InboundSlot | null, code: number, reason: string, topic: string): void {
    this.#parts.telemetry.publishRefused(client, reason, topic);
    if (slot) client.connection.completePublish(slot, code);
    else if (client.level !== 5 && !client.closed) client.connection.close({ reasonCode: code, reason: "publish refused" });
  }
}

type Outcome = "stored" | "refused" | "ambiguous";
/** The worst of several counts: an absent receiver does not excuse the log. */
const severity: Readonly<Record<Outcome | "offline", number>> = { stored: 0, offline: 1, refused: 2, ambiguous: 3 };
type Settle = (client: Client, slot: InboundSlot | null, outcome: Outcome | "offline" | "rejected", span: PublishSpan | null) => void;

/** A publish until all its ways are safe: one object per message, because there are many. */
class PublishInFlight implements LiveWaiter {
  readonly #settle: Settle;
  readonly #client: Client;
  readonly #slot: InboundSlot | null;
  readonly #span: PublishSpan | null;
  /** 0: it has its outcome. */
  #waiting: number;

  constructor(settle: Settle, client: Client, slot: InboundSlot | null, span: PublishSpan | null, ways: number) {
    this.#settle = settle;
    this.#client = client;
    this.#slot = slot;
    this.#span = span;
    this.#waiting = ways;
  }

  flushed(): void {
    this.part("stored");
  }

  part(outcome: Outcome): void {
    if (this.#waiting === 0) return;
    // what failed has failed: NATS may be away for long
    this.#waiting = outcome === "stored" ? this.#waiting - 1 : 0;
    if (this.#waiting === 0) this.#settle(this.#client, this.#slot, outcome, this.#span);
  }
}
