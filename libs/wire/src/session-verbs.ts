/**
 * Requests to the owner of a session shard, on `s.<shard>.<epoch>`, as frames.
 * Connection sequences are `<epoch>.<counter>`: given by the owner at CONNECT, sent along with
 * everything of that connection; what carries an older one is ignored.
 */
import { ByteReader, ByteWriter } from "./bytes.ts";

export const SessionVerb = {
  /** head ConnectRequest -> Answer<ConnectGrant> */
  connect: 1,
  /** head ClosedNotice -> Answer: the connection is over and its appends are resolved. */
  closed: 2,
  /** head SubscribeRequest -> Answer: stored, and every ready router knows the filters. Persistent sessions only. */
  subscribe: 3,
  /** head UnsubscribeRequest -> Answer */
  unsubscribe: 4,
  /** body P2pRequest -> Answer<P2pOutcome>; a receipt follows on `receiptTo` when it is not empty. */
  p2p: 5,
  /** head AckBatch, published without reply: positions the clients have acknowledged. */
  acks: 6,
  /** head AttachList -> Answer<AttachOutcome>: all connections an ingress holds of this shard. */
  attach: 7,
  /** head {instance, clientId} -> Answer<SessionSummary> */
  query: 8,
  /** head {instance, clientId, reason} -> Answer: close the connection if there is one. */
  drop: 9,
} as const;

export interface ClientRef {
  readonly instance: string;
  readonly clientId: string;
}

export interface ConnectRequest extends ClientRef {
  /** Member name of the ingress that holds the socket. */
  readonly ingress: string;
  /** The ingress's own number of the connection, unique per boot. */
  readonly connection: number;
  /** MQTT protocol level: 3, 4 or 5. */
  readonly level: number;
  /** 3.x clean session, 5 clean start. */
  readonly cleanStart: boolean;
  /** How long the session outlives its connection; 0 = it ends with it; 0xFFFFFFFF = never expires. */
  readonly sessionExpirySeconds: number;
  readonly clientIp: string;
  /** Globally unique id of the TCP connection, for presence events. */
  readonly channelId: string;
}

export interface ConnectGrant {
  readonly sequence: string;
  readonly sessionPresent: boolean;
  /** Of a resumed persistent session. */
  readonly subscriptions: readonly StoredSubscription[];
}

export interface StoredSubscription {
  readonly filter: string;
  readonly qos: 0 | 1 | 2;
  readonly noLocal: boolean;
  readonly retainAsPublished: boolean;
  /** MQTT 5 Subscription Identifier, 0 = none. */
  readonly identifier: number;
}

export interface ClosedNotice extends ClientRef {
  readonly sequence: string;
  /** The client sent DISCONNECT (without "with will") before its connection ended. */
  readonly goodbye: boolean;
  /** MQTT 5 DISCONNECT may change it [MQTT-3.14.2-2]; undefined = unchanged. */
  readonly sessionExpirySeconds?: number;
  /** Of the ConnectRequest: an owner that took the shard over meanwhile has no other way to know the channel. */
  readonly channelId?: string;
  readonly clientIp?: string;
}

export interface SubscribeRequest extends ClientRef {
  readonly sequence: string;
  readonly subscriptions: readonly StoredSubscription[];
}

export interface UnsubscribeRequest extends ClientRef {
  readonly sequence: string;
  readonly filters: readonly string[];
}

export interface AckBatch {
  /** Per client: its connection's sequence and the positions acknowledged. */
  readonly acks: readonly (readonly [instance: string, clientId: string, sequence: string, positions: readonly number[]])[];
}

export interface AttachList {
  readonly ingress: string;
  readonly connections: readonly AttachedConnection[];
}

export interface AttachedConnection extends Omit<ConnectRequest, "cleanStart" | "ingress"> {
  readonly sequence: string;
}

/** Client refs whose connection lost: the ingress closes them (taken over). */
export interface AttachOutcome {
  readonly refused: readonly { readonly connection: number; readonly reason: string }[];
}

export interface SessionSummary {
  readonly state: "online" | "offline" | "none";
  readonly ingress?: string;
  readonly sequence?: string;
  readonly channelId?: string;
  readonly sinceMs?: number;
  readonly queued?: number;
  readonly subscriptions?: readonly StoredSubscription[];
}

/**
 * handed: the receiver's ingress has it; stored: in the receiver's inbox; offline: absent and
 * nothing is to be stored; unknown: nobody can say.
 */
export type P2pState = "handed" | "stored" | "offline" | "unknown";
export interface P2pOutcome {
  readonly state: P2pState;
}

export interface P2pRequest {
  readonly instance: string;
  /** Store it for an absent receiver with a persistent session (decided by the sender). */
  readonly storable: boolean;
  /** Subject the receipt goes to, or empty. */
  readonly receiptTo: string;
  /** Given back in the receipt. */
  readonly token: string;
  /** Encoded envelope with `target`. */
  readonly envelope: Buffer;
}

export function encodeP2pRequest(request: P2pRequest): Buffer {
  return new ByteWriter(96 + request.envelope.length)
    .shortText(request.instance)
    .u8(request.storable ? 1 : 0)
    .shortText(request.receiptTo)
    .shortText(request.token)
    .bytes(request.envelope)
    .finish();
}

/** @throws WireFormatError */
export function decodeP2pRequest(body: Uint8Array): P2pRequest {
  const reader = new ByteReader(body);
  return {
    instance: reader.shortText(),
    storable: reader.u8() === 1,
    receiptTo: reader.shortText(),
    token: reader.shortText(),
    envelope: reader.rest(),
  };
}

/** A receipt, JSON on the subject the sender named. */
export interface Receipt {
  readonly token: string;
  /** delivered: the client acknowledged it (QoS 0: it was written to the socket). */
  readonly state: "delivered" | "stored" | "offline" | "unknown";
}
