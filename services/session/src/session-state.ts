/** What the owner knows of one Client ID. */
import type { ConnectRequest, StoredSubscription } from "@hawser/wire";

/** A connection's sequence: given by the owner of `epoch`, later is larger, across owners. */
export interface ConnectionOrder {
  readonly epoch: number;
  readonly counter: number;
}

export interface Connection extends ConnectionOrder {
  readonly sequence: string;
  readonly ingress: string;
  /** The ingress's number of it. */
  readonly connection: number;
  readonly level: number;
  readonly clientIp: string;
  readonly channelId: string;
  readonly sinceMs: number;
}

/** Who is to be answered: opaque to the reducer. */
export type Reply = unknown;

/** A CONNECT that waits for the connection before it to be over. */
export interface WaitingConnect extends ConnectionOrder {
  readonly request: ConnectRequest;
  reply: Reply;
  readonly notBeforeMs: number;
}

export interface Session {
  /** Of the connection that made it. */
  readonly born: ConnectionOrder;
  expirySeconds: number;
  /** It has a record: it outlives its connection, or did when this connection resumed it. */
  stored: boolean;
  /** Null while a connection holds it. */
  offlineSinceMs: number | null;
  readonly subscriptions: Map<string, StoredSubscription>;
}

export interface SessionState {
  readonly instance: string;
  readonly clientId: string;
  session: Session | null;
  /** The connection that counts, from its grant until it is known to be over. */
  connection: Connection | null;
  /** False for one read from a record until its ingress lists it. */
  confirmed: boolean;
  /** Its ingress was ordered to close it. */
  closing: "takeover" | "kicked" | null;
  closeDeadlineMs: number;
  waiting: WaitingConnect | null;
  /** Who wants to know when the connection is over. */
  dropReplies: Reply[];
  /** The newest sequence ever seen. */
  last: ConnectionOrder;
  /** When connections were taken over lately. */
  takeovers: number[];
  recordExists: boolean;
  /** Sequence of the connection that was over last: its end is told once. */
  lastOver: string;
}

/** MQTT 5: the session does not expire. */
export const NEVER_EXPIRES_SECONDS = 0xffff_ffff;

export function emptyState(instance: string, clientId: string): SessionState {
  return {
    instance,
    clientId,
    session: null,
    connection: null,
    confirmed: true,
    closing: null,
    closeDeadlineMs: 0,
    waiting: null,
    dropReplies: [],
    last: { epoch: 0, counter: 0 },
    takeovers: [],
    recordExists: false,
    lastOver: "",
  };
}

export function sequenceText(order: ConnectionOrder): string {
  return `${order.epoch}.${order.counter}`;
}

/** @returns null when the text is no sequence */
export function parseSequence(text: string): ConnectionOrder | null {
  const match = /^(\d{1,10})\.(\d{1,15})$/.exec(text);
  return match ? { epoch: Number(match[1]), counter: Number(match[2]) } : null;
}

/** Below zero when a is older. */
export function compareOrder(a: ConnectionOrder, b: ConnectionOrder): number {
  return a.epoch - b.epoch || a.counter - b.counter;
}

export function isExpired(session: Session, nowMs: number): boolean {
  if (session.offlineSinceMs === null || session.expirySeconds === NEVER_EXPIRES_SECONDS) return false;
  return nowMs >= session.offlineSinceMs + session.expirySeconds * 1000;
}

/** Nothing is left that memory must keep. */
export function isIdle(state: SessionState): boolean {
  return state.session === null && state.connection === null && state.waiting === null && state.dropReplies.length === 0;
}

/** Time must be told to it: see the `tick` message. */
export function needsTick(state: SessionState): boolean {
  return state.closing !== null || state.waiting !== null;
}
