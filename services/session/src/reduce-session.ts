/**
 * One Client ID, decided: the protocol of its connections and its session.
 *
 * The last CONNECT wins. While an earlier connection is not known to be over, its ingress is
 * ordered to close it [MQTT-3.1.4-3], and the CONNECT waits until that ingress has confirmed (the
 * connection is gone and its appends are resolved), is dead, or has used up the time it has. A
 * CONNECT that comes meanwhile replaces the one that waits. The same CONNECT asked again is the same
 * CONNECT. What names an older sequence than the connection that counts is ignored.
 *
 * A connection that is over takes a session of expiry 0 with it; another session waits that long
 * [MQTT-3.1.2-23]. Session present is decided at the grant, when everything before is over.
 *
 * After the shard moved, ingresses list their connections: one with a newer sequence than what is
 * known counts, an older one loses. Every sequence of the own epoch was given here, so one of the
 * own epoch that is not known has been given up here and loses too.
 *
 * Pure but for changing `state`: nothing is sent here. Effects happen after the record is safe.
 */
import type {
  Answer,
  AttachedConnection,
  ClosedNotice,
  ConnectGrant,
  ConnectRequest,
  PresenceType,
  StoredSubscription,
  SubscribeRequest,
  UnsubscribeRequest,
} from "@hawser/wire";
import { encodeSessionRecord } from "./session-record.ts";
import {
  compareOrder,
  isExpired,
  parseSequence,
  sequenceText,
  type Connection,
  type ConnectionOrder,
  type Reply,
  type SessionState,
} from "./session-state.ts";

export type SessionMessage =
  | { readonly kind: "connect"; readonly request: ConnectRequest; readonly order: ConnectionOrder; readonly reply: Reply }
  | { readonly kind: "closed"; readonly notice: ClosedNotice; readonly ownEpoch: number; readonly reply: Reply }
  | { readonly kind: "attach"; readonly ingress: string; readonly listed: AttachedConnection; readonly ownEpoch: number; readonly buried: boolean; readonly reply: Reply }
  /** The ingress confirmed the order to close, or its complete list lacks the connection. */
  | { readonly kind: "gone"; readonly sequence: string }
  | { readonly kind: "ingress-dead"; readonly ingress: string }
  /** Every ingress has listed its connections. */
  | { readonly kind: "all-listed" }
  | { readonly kind: "subscribe"; readonly request: SubscribeRequest; readonly reply: Reply }
  | { readonly kind: "unsubscribe"; readonly request: UnsubscribeRequest; readonly reply: Reply }
  | { readonly kind: "drop"; readonly reply: Reply }
  /** Time: deadlines of closes, slowed takeovers, expiry. */
  | { readonly kind: "tick" };

export type SessionEffect =
  | { readonly kind: "answer"; readonly reply: Reply; readonly answer: Answer }
  | { readonly kind: "grant"; readonly reply: Reply; readonly grant: ConnectGrant }
  | { readonly kind: "attached"; readonly reply: Reply; readonly connection: number; readonly refused: string | null }
  | { readonly kind: "order-close"; readonly connection: Connection; readonly reason: "takeover" | "kicked" }
  | { readonly kind: "presence"; readonly type: PresenceType; readonly clientIp: string; readonly channelId: string; readonly atMs: number }
  | { readonly kind: "online"; readonly connection: Connection }
  | { readonly kind: "offline"; readonly connection: Connection }
  /** A stored session exists: its inbox begins, if it has not. */
  | { readonly kind: "opened"; readonly born: ConnectionOrder }
  | { readonly kind: "subscribed"; readonly subscriptions: readonly StoredSubscription[]; readonly reply: Reply }
  | { readonly kind: "unsubscribed"; readonly filters: readonly string[]; readonly reply: Reply }
  | { readonly kind: "ended" };

export interface SessionTurn {
  readonly writes: readonly { readonly suffix: string; readonly value: Buffer | null }[];
  readonly effects: readonly SessionEffect[];
}

export interface SessionSettings {
  /** How long an ingress that lives may take to close a connection. */
  readonly closeTimeoutMs: number;
  /** So many takeovers of one Client ID within `takeoverWindowMs` are not slowed. */
  readonly takeoverLimit: number;
  readonly takeoverWindowMs: number;
  readonly takeoverDelayMs: number;
  /** A connection granted less than this ago may be missing in its ingress's list. */
  readonly listGraceMs: number;
}

export function reduceSession(state: SessionState, message: SessionMessage, nowMs: number, settings: SessionSettings): SessionTurn {
  const turn = new Turn(state, nowMs, settings);
  turn.receive(message);
  return turn.finish();
}

class Turn {
  readonly #state: SessionState;
  readonly #nowMs: number;
  readonly #settings: SessionSettings;
  readonly #effects: SessionEffect[] = [];
  #changed = false;

  constructor(state: SessionState, nowMs: number, settings: SessionSettings) {
    this.#state = state;
    this.#nowMs = nowMs;
    this.#settings = settings;
  }

  receive(message: SessionMessage): void {
    const state = this.#state;
    switch (message.kind) {
      case "connect":
        return this.#connect(message);
      case "closed":
        return this.#closed(message);
      case "attach":
        return this.#attach(message);
      case "gone":
        if (state.connection?.sequence === message.sequence) this.#over(false);
        return;
      case "ingress-dead":
        if (state.waiting?.request.ingress === message.ingress) state.waiting = null;
        if (state.connection?.ingress === message.ingress) this.#over(false);
        return;
      case "all-listed":
        if (state.connection && !state.confirmed) this.#over(false);
        else if (state.session && state.session.expirySeconds === 0 && !state.connection) this.#end();
        return;
      case "subscribe":
        return this.#subscribe(message.request, message.reply);
      case "unsubscribe":
        return this.#unsubscribe(message.request, message.reply);
      case "drop":
        return this.#drop(message.reply);
      case "tick":
        if (state.closing && this.#nowMs >= state.closeDeadlineMs) this.#over(false);
        else this.#grantIfFree();
        if (state.session && isExpired(state.session, this.#nowMs)) this.#end();
    }
  }

  finish(): SessionTurn {
    const state = this.#state;
    if (!this.#changed) return { writes: [], effects: this.#effects };
    if (state.session?.stored) {
      state.recordExists = true;
      return { writes: [{ suffix: "", value: encodeSessionRecord(state) }], effects: this.#effects };
    }
    const writes = state.recordExists ? [{ suffix: "", value: null }] : [];
    state.recordExists = false;
    return { writes, effects: this.#effects };
  }

  #answer(reply: Reply, answer: Answer): void {
    this.#effects.push({ kind: "answer", reply, answer });
  }

  #connect({ request, order, reply }: SessionMessage & { kind: "connect" }): void {
    const state = this.#state;
    const same = (other: { ingress: string; connection: number }): boolean => other.ingress === request.ingress && other.connection === request.connection;
    if (state.waiting && same(state.waiting.request)) {
      state.waiting.reply = reply;
      return;
    }
    if (state.connection && same(state.connection)) return this.#grantAgain(state.connection, reply);
    if (state.waiting) this.#answer(state.waiting.reply, { ok: false, code: "refused", reason: "taken over" });
    let notBeforeMs = 0;
    if (state.connection) {
      state.takeovers = state.takeovers.filter((atMs) => this.#nowMs - atMs < this.#settings.takeoverWindowMs);
      state.takeovers.push(this.#nowMs);
      if (state.takeovers.length > this.#settings.takeoverLimit) notBeforeMs = this.#nowMs + this.#settings.takeoverDelayMs;
    }
    state.last = order;
    state.waiting = { ...order, request, reply, notBeforeMs };
    this.#orderClose("takeover");
    this.#grantIfFree();
  }

  /** Its ingress asks again because the answer was lost; what was delivered to it meanwhile was too early. */
  #grantAgain(connection: Connection, reply: Reply): void {
    const { closing, session } = this.#state;
    if (closing || !session) return this.#answer(reply, { ok: false, code: "refused", reason: "taken over" });
    const { sequence } = connection;
    const sessionPresent = compareOrder(session.born, connection) !== 0;
    this.#effects.push(
      { kind: "grant", reply, grant: { sequence, sessionPresent, subscriptions: [...session.subscriptions.values()] } },
      { kind: "online", connection },
    );
  }

  #orderClose(reason: "takeover" | "kicked"): void {
    const state = this.#state;
    if (!state.connection || state.closing) return;
    state.closing = reason;
    state.closeDeadlineMs = this.#nowMs + this.#settings.closeTimeoutMs;
    this.#effects.push({ kind: "order-close", connection: state.connection, reason });
  }

  #grantIfFree(): void {
    const state = this.#state;
    const { waiting } = state;
    if (!waiting || state.connection || this.#nowMs < waiting.notBeforeMs) return;
    state.waiting = null;
    const { request } = waiting;
    if (state.session && (request.cleanStart || isExpired(state.session, this.#nowMs))) this.#end();
    const sessionPresent = state.session !== null;
    state.session ??= { born: { epoch: waiting.epoch, counter: waiting.counter }, expirySeconds: 0, stored: false, offlineSinceMs: null, subscriptions: new Map() };
    state.session.expirySeconds = request.sessionExpirySeconds;
    state.session.stored ||= request.sessionExpirySeconds > 0;
    state.session.offlineSinceMs = null;
    const { ingress, connection, level, clientIp, channelId } = request;
    const sequence = sequenceText(waiting);
    state.connection = { epoch: waiting.epoch, counter: waiting.counter, sequence, ingress, connection, level, clientIp, channelId, sinceMs: this.#nowMs };
    state.confirmed = true;
    if (state.session.stored) {
      this.#changed = true;
      this.#effects.push({ kind: "opened", born: state.session.born });
    }
    this.#presence("connect", state.connection);
    this.#effects.push(
      { kind: "grant", reply: waiting.reply, grant: { sequence, sessionPresent, subscriptions: [...state.session.subscriptions.values()] } },
      { kind: "online", connection: state.connection },
    );
  }

  #presence(type: PresenceType, { clientIp, channelId }: { clientIp: string; channelId: string }): void {
    this.#effects.push({ kind: "presence", type, clientIp, channelId, atMs: this.#nowMs });
  }

  /** The connection that counts is over. */
  #over(goodbye: boolean, sessionExpirySeconds?: number): void {
    const state = this.#state;
    const connection = state.connection!;
    const { session } = state;
    if (goodbye) this.#presence("disconnect", connection);
    this.#presence("tcpclean", connection);
    this.#effects.push({ kind: "offline", connection });
    state.connection = null;
    state.lastOver = connection.sequence;
    state.closing = null;
    state.confirmed = true;
    for (const reply of state.dropReplies) this.#answer(reply, { ok: true });
    state.dropReplies = [];
    if (session) {
      // a session that was to end with its connection cannot be made to stay [MQTT-3.14.2-2]
      if (sessionExpirySeconds !== undefined && session.expirySeconds > 0) session.expirySeconds = sessionExpirySeconds;
      if (session.expirySeconds === 0) this.#end();
      else {
        session.offlineSinceMs = this.#nowMs;
        this.#changed = true;
      }
    }
    this.#grantIfFree();
  }

  #end(): void {
    const { session } = this.#state;
    if (session?.stored) {
      this.#changed = true;
      this.#effects.push({ kind: "ended" });
    }
    this.#state.session = null;
  }

  #closed({ notice, ownEpoch, reply }: SessionMessage & { kind: "closed" }): void {
    const { connection } = this.#state;
    if (connection?.sequence === notice.sequence) this.#over(notice.goodbye, notice.sessionExpirySeconds);
    else {
      const order = parseSequence(notice.sequence);
      // closed while the shard moved: nobody has listed it, and only its ingress knows its channel
      if (order && order.epoch < ownEpoch && notice.channelId && notice.sequence !== this.#state.lastOver) {
        this.#state.lastOver = notice.sequence;
        const channel = { channelId: notice.channelId, clientIp: notice.clientIp ?? "" };
        if (notice.goodbye) this.#presence("disconnect", channel);
        this.#presence("tcpclean", channel);
      }
    }
    this.#answer(reply, { ok: true });
  }

  #attach({ ingress, listed, ownEpoch, buried, reply }: SessionMessage & { kind: "attach" }): void {
    const state = this.#state;
    const order = parseSequence(listed.sequence);
    const attached = (refused: string | null): void => {
      this.#effects.push({ kind: "attached", reply, connection: listed.connection, refused });
    };
    if (!order || listed.sequence === state.lastOver) return attached("no such connection");
    const { connection } = state;
    if (connection?.sequence === listed.sequence) {
      state.confirmed = true;
      attached(null);
      if (state.closing) this.#effects.push({ kind: "order-close", connection, reason: state.closing });
      else this.#effects.push({ kind: "online", connection });
      return;
    }
    if (connection && compareOrder(order, connection) < 0) return attached("taken over");
    if (order.epoch >= ownEpoch || compareOrder(order, state.last) < 0) return attached("no longer known");
    if (buried) return attached("its ingress was dead");
    if (state.waiting) return attached("taken over");
    // what the record does not know cannot be resumed: the client must connect again and learn it
    if (listed.sessionExpirySeconds > 0 && !state.session) return attached("session lost");
    if (connection) {
      this.#presence("tcpclean", connection);
      this.#effects.push({ kind: "offline", connection }, { kind: "order-close", connection, reason: "takeover" });
      state.lastOver = connection.sequence;
    }
    const { connection: number, level, clientIp, channelId } = listed;
    state.connection = { ...order, sequence: listed.sequence, ingress, connection: number, level, clientIp, channelId, sinceMs: this.#nowMs };
    state.last = order;
    state.confirmed = true;
    state.closing = null;
    if (state.session) {
      state.session.offlineSinceMs = null;
      state.session.expirySeconds = listed.sessionExpirySeconds;
    } else state.session = { born: order, expirySeconds: 0, stored: false, offlineSinceMs: null, subscriptions: new Map() };
    if (state.session.stored) this.#changed = true;
    attached(null);
    this.#effects.push({ kind: "online", connection: state.connection });
  }

  /** The session of this connection, or an answer that it is not the one that counts. */
  #current(sequence: string, reply: Reply): SessionState["session"] {
    const { connection, session } = this.#state;
    if (connection?.sequence === sequence) return session;
    this.#answer(reply, { ok: false, code: "stale", reason: "the connection is not the current one" });
    return null;
  }

  #subscribe(request: SubscribeRequest, reply: Reply): void {
    const session = this.#current(request.sequence, reply);
    if (!session) return;
    if (!session.stored) return this.#answer(reply, { ok: true });
    for (const subscription of request.subscriptions) session.subscriptions.set(subscription.filter, subscription);
    this.#changed = true;
    this.#effects.push({ kind: "subscribed", subscriptions: request.subscriptions, reply });
  }

  #unsubscribe(request: UnsubscribeRequest, reply: Reply): void {
    const session = this.#current(request.sequence, reply);
    if (!session) return;
    let known = false;
    for (const filter of request.filters) if (session.subscriptions.delete(filter)) known = true;
    if (!known) return this.#answer(reply, { ok: true });
    this.#changed = true;
    this.#effects.push({ kind: "unsubscribed", filters: request.filters, reply });
  }

  #drop(reply: Reply): void {
    if (!this.#state.connection) return this.#answer(reply, { ok: true });
    this.#state.dropReplies.push(reply);
    this.#orderClose("kicked");
  }
}
