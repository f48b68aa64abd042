/**
 * What the MQTT layer and its user (the ingress) say to each other. The layer knows packets,
 * windows and timers; it knows no sessions, no routing and no other connection.
 */
import type { OutgoingPublish } from "./encode-publish.ts";
import type { MqttConnection } from "./connection.ts";

/** 3 = MQTT 3.1, 4 = 3.1.1, 5 = 5. */
export type ProtocolLevel = 3 | 4 | 5;
export type Qos = 0 | 1 | 2;

/** The socket under a connection: TCP, TLS or WebSocket. Its events go to `receive`, `drained`, `socketClosed`. */
export interface ConnectionSocket {
  /** Takes ownership of the bytes: they may be shared with other connections and must not be changed. */
  write(bytes: Buffer): void;
  /** Sends what was written, then closes. */
  end(): void;
  destroy(): void;
  pause(): void;
  resume(): void;
  /** Bytes written but not yet taken by the operating system. */
  readonly writableLength: number;
  /** Present when several writes can be joined into one system call. */
  cork?(): void;
  uncork?(): void;
}

export interface WillInfo {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: Qos;
  readonly retain: boolean;
  /** Forwardable MQTT 5 property block, or null. */
  readonly properties: Buffer | null;
  readonly delaySeconds: number;
}

export interface ConnectPacketInfo {
  readonly level: ProtocolLevel;
  /** May be empty: then the user assigns one (5, and 3.1.1 with clean session) or refuses. */
  readonly clientId: string;
  readonly cleanStart: boolean;
  /** 0 = off. */
  readonly keepAliveSeconds: number;
  readonly userName: string | null;
  readonly password: Buffer | null;
  readonly will: WillInfo | null;
  /** 5: Session Expiry Interval; 3.x: 0 for a clean session, else 0xFFFFFFFF. */
  readonly sessionExpirySeconds: number;
  /** PUBLISHes above QoS 0 the client wants in flight towards it; 65,535 unless it says less. */
  readonly receiveMaximum: number;
  /** Largest packet the client takes; 0 = no limit. */
  readonly maximumPacketBytes: number;
  readonly topicAliasMaximum: number;
  readonly requestResponseInformation: boolean;
  readonly requestProblemInformation: boolean;
  readonly userProperties: readonly (readonly [name: string, value: string])[];
  readonly authMethod: string | null;
  readonly authData: Buffer | null;
}

/** What CONNACK says. Properties are for MQTT 5; on 3.x only `sessionPresent` is told, the keep alive silently applied. */
export interface ConnectAccept {
  /** Ignored (false) for 3.1, which cannot say it. */
  readonly sessionPresent: boolean;
  readonly assignedClientId?: string;
  /** The keep alive that is enforced instead of the client's own, on every level. */
  readonly serverKeepAliveSeconds?: number;
  /** Given when it differs from what the client asked for. */
  readonly sessionExpirySeconds?: number;
  /** Default true. When false, a PUBLISH with RETAIN is a protocol error of an MQTT 5 client (0x9A). */
  readonly retainAvailable?: boolean;
  readonly wildcardSubscriptionAvailable?: boolean;
  readonly subscriptionIdentifiersAvailable?: boolean;
  readonly sharedSubscriptionAvailable?: boolean;
  readonly responseInformation?: string;
  readonly userProperties?: readonly (readonly [name: string, value: string])[];
  readonly authMethod?: string;
  readonly authData?: Buffer;
  /** QoS 2 packet ids of the session that were received and not yet released. */
  readonly openReceiveIds?: readonly number[];
}

export interface ConnectRefusal {
  /** MQTT 5 reason code of CONNACK, >= 0x80. */
  readonly reasonCode: number;
  /** Return code of a 3.x CONNACK, 1..5. */
  readonly returnCode: number;
  /** For counters and logs, one short constant line. */
  readonly reason: string;
  /** Told to an MQTT 5 client that did not decline it. */
  readonly reasonString?: string;
  readonly serverReference?: string;
}

export interface CloseReason {
  /** MQTT 5 reason code of DISCONNECT; 3.x just closes. */
  readonly reasonCode: number;
  readonly reason: string;
  readonly reasonString?: string;
  readonly serverReference?: string;
}

/** A PUBLISH of the client. Buffers are views of the read chunk: copy what is kept. */
export interface InboundPublish {
  /** Valid UTF-8 without U+0000, not empty, aliases resolved. Wildcards and lengths are the user's to check. */
  readonly topic: string;
  readonly qos: Qos;
  readonly dup: boolean;
  readonly retain: boolean;
  /** 0 for QoS 0. */
  readonly packetId: number;
  /** MQTT 5 property block as it came, checked, without its length; null when empty or 3.x. See forwardableProperties. */
  readonly properties: Buffer | null;
  readonly payload: Buffer;
  readonly packetBytes: number;
}

/** Names a QoS 1 or 2 PUBLISH (or a PUBREL) that waits for its acknowledgement; never 0, unique per connection. */
export type InboundSlot = number;

export interface SubscriptionRequest {
  readonly filter: string;
  readonly qos: Qos;
  readonly noLocal: boolean;
  readonly retainAsPublished: boolean;
  readonly retainHandling: 0 | 1 | 2;
}

export interface SubscribeRequest {
  readonly packetId: number;
  /** At least one; filters are valid UTF-8 without U+0000, their syntax is the user's to check. */
  readonly subscriptions: readonly SubscriptionRequest[];
  /** Subscription Identifier, 0 = none. */
  readonly identifier: number;
}

export interface UnsubscribeRequest {
  readonly packetId: number;
  readonly filters: readonly string[];
}

export interface AuthInfo {
  /** 0x18 continue, 0x19 re-authenticate. */
  readonly reasonCode: number;
  readonly method: string | null;
  readonly data: Buffer | null;
}

/** Whatever the user wants back when the message is done; null and undefined are never reported. */
export type OutboundItem = unknown;

/** Read during the call to `deliver`, not kept. */
export interface DeliverOptions {
  readonly qos: Qos;
  readonly retain: boolean;
  /** Subscription Identifiers of all matching subscriptions (MQTT 5). */
  readonly identifiers?: readonly number[] | null;
  readonly dup?: boolean;
  readonly item?: OutboundItem;
  /** A redelivery keeps its packet id [MQTT-4.4.0-1]; 0 or absent = the connection takes a free one. */
  readonly packetId?: number;
}

/**
 * `queued`: written or waiting for the window. `dropped`: QoS 0 at a slow consumer, QoS 1 and 2
 * with a full queue, or the connection is closed. `too-large`: above the client's Maximum Packet
 * Size, to be treated as delivered [MQTT-3.1.2-25]. `expired`: its expiry interval has passed.
 * What is not `queued` is not reported again.
 */
export type DeliverResult = "queued" | "dropped" | "too-large" | "expired";
/** `acknowledged`: PUBACK, PUBCOMP or a refusal of the client. `written`: QoS 0 handed to the socket. `expired`: while it waited. */
export type DeliveryOutcome = "acknowledged" | "written" | "expired";

export interface UndeliveredItem {
  readonly item: OutboundItem;
  /** 0 when it never left. */
  readonly packetId: number;
  /** `released`: PUBREC came, PUBREL is owed (QoS 2). */
  readonly state: "queued" | "sent" | "released";
}

export interface ClosedInfo {
  /** The client said DISCONNECT. */
  readonly goodbye: boolean;
  /** For counters, logs and traces. */
  readonly reason: string;
  /** MQTT 5 reason code of whoever closed, 0 when the socket just went away. */
  readonly reasonCode: number;
  /** [MQTT-3.1.2-10]: only a DISCONNECT with 0x00 discards the will. */
  readonly will: "publish" | "discard";
  /** Set when an MQTT 5 DISCONNECT changed it. */
  readonly sessionExpirySeconds?: number;
  /** In the order of delivery. */
  readonly undelivered: readonly UndeliveredItem[];
  /** QoS 2 packet ids received and not yet released. */
  readonly openReceiveIds: readonly number[];
}

/** What the user implements. Every call is synchronous and must not throw; answers may come at once or later. */
export interface ConnectionHandler {
  /** Answer with acceptConnect or refuseConnect. Nothing else of this connection is read before. */
  connect(connection: MqttConnection, request: ConnectPacketInfo): void;
  /** `slot` is null for QoS 0, else answered with completePublish. */
  publish(connection: MqttConnection, packet: InboundPublish, slot: InboundSlot | null): void;
  /** Optional: PUBREL of an open QoS 2 id, answered with completePublish; without it PUBCOMP leaves at once. */
  release?(connection: MqttConnection, packetId: number, slot: InboundSlot): void;
  /** Answered with answerSubscribe. */
  subscribe(connection: MqttConnection, request: SubscribeRequest): void;
  /** Answered with answerUnsubscribe. */
  unsubscribe(connection: MqttConnection, request: UnsubscribeRequest): void;
  /** Optional: AUTH of MQTT 5; without it AUTH is a protocol error. */
  auth?(connection: MqttConnection, info: AuthInfo): void;
  /** Only for items that are neither null nor undefined. `reasonCode` is what the client said, 0 = success. */
  delivered(connection: MqttConnection, item: OutboundItem, outcome: DeliveryOutcome, reasonCode: number): void;
  /** Exactly once, also for a connection that never got through CONNECT; the last call. */
  closed(connection: MqttConnection, why: ClosedInfo): void;
}

/** Counters. Reasons are short constants, fit for a metric label. */
export interface ConnectionObserver {
  /** A CONNECT got a refusal. */
  refused(reason: string, level: ProtocolLevel | 0): void;
  /** The client broke the protocol and was closed. */
  malformed(reason: string, level: ProtocolLevel | 0): void;
  closed(reason: string): void;
  /** Slow consumer. */
  droppedQos0(count: number): void;
  droppedQueueFull(count: number): void;
  droppedTooLarge(count: number): void;
  expired(count: number): void;
  readingPaused(cause: "window" | "output"): void;
  /** A QoS 2 PUBLISH whose id was open. */
  duplicate(): void;
}

export interface MqttSettings {
  /** Fixed header included. */
  readonly maxPacketBytes: number;
  /** The same before CONNECT is accepted. */
  readonly maxBeforeConnectBytes: number;
  readonly connectTimeoutMs: number;
  readonly inboundWindowMessages: number;
  readonly inboundWindowBytes: number;
  readonly outboundWindowMessages: number;
  /** QoS 1 and 2 messages waiting behind the window of one connection. */
  readonly outboundQueueMessages: number;
  readonly outboundQueueBytes: number;
  /** Topic aliases a client may set; 0 = none. */
  readonly topicAliasMaximum: number;
  /** QoS 2 ids one connection may hold open; the Receive Maximum of MQTT 5 may be lower. */
  readonly maxOpenReceiveIds: number;
  /** Unsent bytes above which QoS 0 is dropped, QoS 1 and 2 wait; at twice of it reading stops. */
  readonly slowConsumerBytes: number;
  /** Unsent bytes at which the connection is closed. */
  readonly slowConsumerCloseBytes: number;
  /** A connection that stays above slowConsumerBytes this long is closed; 0 = never. */
  readonly slowConsumerCloseMs: number;
  /** After the last byte is written the peer has this long to close. */
  readonly lingerMs: number;
}

export type { MqttConnection, OutgoingPublish };
