/**
 * CONNECT: who is it (catalogue), may it (authentication), and who else holds this Client ID (the
 * session owner). The owner answers when the previous connection of the Client ID is closed and its
 * publishes are resolved; only then CONNACK leaves.
 */
import { randomBytes } from "node:crypto";
import { authenticate, instanceOf, type CatalogReader, type ConnectRules } from "@hawser/catalog";
import type { ErrorCode } from "@hawser/errors";
import { refusalOf, type ConnectAccept, type ConnectPacketInfo, type MqttConnection } from "@hawser/mqtt";
import type { ShardCaller } from "@hawser/shards";
import {
  decodeAnswer,
  encodeFrame,
  partitionOf,
  SessionVerb,
  shardOf,
  type ConnectGrant,
  type ConnectRequest,
} from "@hawser/wire";
import { Client, type ConnectionContext } from "./client.ts";
import type { ClientRegistry } from "./client-registry.ts";
import type { FanOut } from "./fan-out.ts";
import type { IngressTelemetry } from "./ingress-telemetry.ts";
import { unsupportedConnect } from "./unsupported-connect.ts";

export interface ConnectPathParts {
  readonly member: string;
  readonly shards: number;
  readonly partitions: number;
  readonly defaultInstance: string;
  readonly maxConnections: number;
  readonly clientIdRules: ConnectRules;
  readonly maxKeepAliveSeconds: number;
  readonly maxSessionExpirySeconds: number;
  readonly catalog: CatalogReader;
  readonly sessions: ShardCaller;
  readonly clients: ClientRegistry;
  readonly fanOut: FanOut;
  readonly telemetry: IngressTelemetry;
  /** The owner of this shard may hold a connection that is none. */
  readonly listLater: (shard: number) => void;
}

const OWNER_TIMEOUT_MS = 8_000;
const OWNER_PATIENCE_MS = 15_000;
const NEVER_EXPIRES_SECONDS = 0xffff_ffff;

export class ConnectPath {
  readonly #parts: ConnectPathParts;
  #number = 0;

  constructor(parts: ConnectPathParts) {
    this.#parts = parts;
  }

  connect(connection: MqttConnection, request: ConnectPacketInfo): void {
    const { catalog, clients, maxConnections } = this.#parts;
    const link = connection.context as ConnectionContext;
    const refuse = (code: ErrorCode, reason: string, detail = ""): void => {
      this.#parts.telemetry.connectRefused(reason, request.clientId, link.remoteAddress, detail);
      connection.refuseConnect(refusalOf(code));
    };
    if (clients.size >= maxConnections) return refuse("HAWSER_E_QUOTA", "too-many-connections");
    if (catalog.instances().length === 0) return refuse("HAWSER_E_CATALOG_MISSING", "catalogue-missing");
    const unsupported = unsupportedConnect(request);
    if (unsupported) return refuse(unsupported.code, unsupported.reason);
    const instance = catalog.instance(instanceOf(request.userName, this.#parts.defaultInstance));
    // [MQTT-3.1.3-6]: a client without an id gets one of its own; 3.1.1 only with clean session [MQTT-3.1.3-8]
    const assigned = request.clientId === "" && instance?.profile === "plain" && (request.level === 5 || request.cleanStart);
    const clientId = assigned ? `auto-${randomBytes(12).toString("base64url")}` : request.clientId;
    const decision = authenticate(instance, { clientId, userName: request.userName, password: request.password }, this.#parts.clientIdRules);
    if (!decision.ok) return refuse(decision.code, decision.reason, decision.detail);
    const client = new Client({
      number: ++this.#number,
      channelId: `${this.#parts.member}-${this.#number}`,
      connection,
      instance: instance!,
      clientId,
      device: decision.principal.device,
      clientIp: link.remoteAddress,
      level: request.level,
      shard: shardOf(instance!.id, clientId, this.#parts.shards),
      partition: partitionOf(instance!.id, clientId, this.#parts.partitions),
      sessionExpirySeconds: this.#sessionExpiry(request),
    });
    link.client = client;
    this.#askOwner(client, request, assigned);
  }

  #sessionExpiry(request: ConnectPacketInfo): number {
    if (request.sessionExpirySeconds === 0) return 0;
    const limit = this.#parts.maxSessionExpirySeconds;
    return Math.min(request.sessionExpirySeconds, limit > 0 ? limit : NEVER_EXPIRES_SECONDS);
  }

  #askOwner(client: Client, request: ConnectPacketInfo, assigned: boolean): void {
    const body: ConnectRequest = {
      instance: client.instance.id,
      clientId: client.clientId,
      ingress: this.#parts.member,
      connection: client.number,
      level: client.level,
      cleanStart: request.cleanStart,
      sessionExpirySeconds: client.sessionExpirySeconds,
      clientIp: client.clientIp,
      channelId: client.channelId,
    };
    // registered before the answer: the owner may order this connection about as soon as it has granted it
    this.#parts.clients.add(client);
    const options = { timeoutMs: OWNER_TIMEOUT_MS, patienceMs: OWNER_PATIENCE_MS };
    this.#parts.sessions.call(client.shard, encodeFrame(SessionVerb.connect, body), options, (error, bytes) => {
      const answer = error ? null : decodeAnswer<ConnectGrant>(bytes);
      if (!answer || !answer.ok) {
        const reason = answer ? answer.reason : "session-owner-unavailable";
        this.#parts.telemetry.connectRefused(reason, client.clientId, client.clientIp, "");
        this.#parts.clients.remove(client);
        if (error?.kind === "timeout") this.#parts.listLater(client.shard);
        return client.connection.refuseConnect(refusalOf("HAWSER_E_UNAVAILABLE"));
      }
      this.#accept(client, request, answer, assigned);
    });
  }

  #accept(client: Client, request: ConnectPacketInfo, grant: ConnectGrant, assigned: boolean): void {
    client.sequence = grant.sequence;
    // gone while the owner was asked: the owner must still learn that it is over
    if (client.connection.isClosed) return this.#parts.clients.over(client, { goodbye: false, will: "discard" });
    for (const subscription of grant.subscriptions) this.#parts.fanOut.subscribe(client, subscription);
    // at once, without a flush: the owner's deliveries follow its answer, and what these filters get
    // live is QoS 0
    client.connection.acceptConnect({
      sessionPresent: grant.sessionPresent,
      ...(assigned ? { assignedClientId: client.clientId } : {}),
      ...this.#limits(client, request),
    });
    this.#parts.clients.accepted(client, request);
    this.#parts.telemetry.connected(client);
  }

  #limits(client: Client, request: ConnectPacketInfo): Partial<ConnectAccept> {
    const { maxKeepAliveSeconds } = this.#parts;
    const capped = request.keepAliveSeconds === 0 || request.keepAliveSeconds > maxKeepAliveSeconds;
    return {
      // these come with the sessions; an MQTT 5 client is told, and held to it
      retainAvailable: false,
      sharedSubscriptionAvailable: false,
      ...(capped ? { serverKeepAliveSeconds: maxKeepAliveSeconds } : {}),
      ...(client.sessionExpirySeconds !== request.sessionExpirySeconds ? { sessionExpirySeconds: client.sessionExpirySeconds } : {}),
    };
  }
}
