/**
 * One shard, from its acquisition to its release: takes the requests on `s.<shard>.<epoch>`, knows
 * who is online, and does what the sessions' turns decide.
 *
 * Until every ingress has listed its connections of the shard (attach-phase.ts) only lists, ends of
 * connections and acknowledgements are taken; everything else is held, in order.
 */
import type { ActorKey } from "@hawser/actors";
import type { Bus, BusMessage, Subscription } from "@hawser/bus";
import { errorLine } from "@hawser/errors";
import { counter, metricNames, type Logger } from "@hawser/telemetry";
import {
  actorToken,
  decodeFrame,
  encodeAnswer,
  SessionVerb,
  subjects,
  type AckBatch,
  type Answer,
  type AttachList,
  type ClientRef,
  type ClosedNotice,
  type ConnectRequest,
  type Frame,
  type SessionSummary,
  type SubscribeRequest,
  type UnsubscribeRequest,
} from "@hawser/wire";
import { AttachCollector } from "./attach-collector.ts";
import { AttachPhase } from "./attach-phase.ts";
import type { FilterPublisher } from "./filter-publisher.ts";
import type { InboxRunner } from "./inbox-runner.ts";
import type { IngressOrders } from "./ingress-orders.ts";
import { P2pPath } from "./p2p-path.ts";
import { performEffects } from "./perform-effects.ts";
import type { PresenceWriter } from "./presence-writer.ts";
import type { SessionEffect, SessionMessage } from "./reduce-session.ts";
import { isExpired, needsTick, type Connection, type SessionState } from "./session-state.ts";

/** What the shard needs of the actor host. */
export interface SessionActors {
  tell(key: ActorKey, message: SessionMessage): "accepted" | "busy" | "fenced";
  peek(key: ActorKey): SessionState | undefined;
}

export interface OwnedShardParts {
  readonly bus: Bus;
  readonly shard: number;
  readonly epoch: number;
  readonly actors: SessionActors;
  readonly orders: IngressOrders;
  readonly presence: PresenceWriter;
  readonly runner: InboxRunner;
  readonly filters: FilterPublisher;
    readonly mayServe: () => boolean;
  /** Ingresses this process has seen die. */
  readonly isBuried: (ingress: string) => boolean;
  readonly settledAtMs: number;
  readonly listGraceMs: number;
  readonly logger: Logger;
}

const attaches = { accepted: counter(metricNames.attaches, { outcome: "accepted" }), refused: counter(metricNames.attaches, { outcome: "refused" }) };

export class OwnedShard {
  readonly parts: OwnedShardParts;
  readonly phase: AttachPhase;
  readonly p2p: P2pPath;
  /** Granted connections, by `instance/clientId`. */
  readonly online = new Map<string, { readonly key: ActorKey; readonly connection: Connection }>();
  /** Persistent sessions nobody is connected to: their expiry is looked at. */
  readonly resting = new Map<string, ActorKey>();
  /** Actors time must be told to. */
  readonly timed = new Map<string, ActorKey>();
  #held: { readonly frame: Frame; readonly message: BusMessage }[] | null = [];
  #subscription: Subscription | null = null;
  #counter = 0;

  constructor(parts: OwnedShardParts) {
    this.parts = parts;
    this.phase = new AttachPhase(parts.settledAtMs);
    this.p2p = new P2pPath({
      bus: parts.bus,
      shard: parts.shard,
      online: (instance, clientId) => this.online.get(`${instance}/${clientId}`)?.connection,
      isStored: (instance, clientId) => parts.runner.inbox.queue(instance, clientId) !== undefined,
    });
  }

  get isServing(): boolean {
    return this.#held === null;
  }

  /** Takes requests from here on. */
  open(): void {
    const { bus, shard, epoch } = this.parts;
    this.#subscription = bus.subscribe(subjects.sessionOwner(shard, epoch), (message) => this.#take(message));
  }

  /** Requests that have arrived are taken, no more come. */
  async close(): Promise<void> {
    await this.#subscription?.drain();
    this.#subscription = null;
    for (const { message } of this.#held ?? []) message.respond(FENCED);
    this.#held = [];
  }

  /** CONNECTs that wait for a close are the next owner's: their ingress asks it. */
  sendOn(): void {
    for (const key of this.timed.values()) {
      const waiting = this.parts.actors.peek(key)?.waiting;
      if (waiting) (waiting.reply as BusMessage).respond(FENCED);
    }
  }

  /** The next (epoch, counter): of a connection, or of a presence event. */
  nextOrder(): { readonly epoch: number; readonly counter: number } {
    return { epoch: this.parts.epoch, counter: ++this.#counter };
  }

  keyOf({ instance, clientId }: ClientRef): ActorKey {
    return { instance, clientId, shard: this.parts.shard, token: actorToken(instance, clientId) };
  }

  #take(message: BusMessage): void {
    let frame: Frame;
    try {
      frame = decodeFrame(message.data);
    } catch (error) {
      this.parts.logger.warn({ shard: this.parts.shard, reason: errorLine(error) }, "request cannot be read");
      return void message.respond(encodeAnswer({ ok: false, code: "refused", reason: "malformed request" }));
    }
    if (!this.parts.mayServe()) return void message.respond(FENCED);
    try {
      this.#takeFrame(frame, message);
    } catch (error) {
      this.parts.logger.error({ shard: this.parts.shard, verb: frame.verb, reason: errorLine(error) }, "request failed");
      message.respond(encodeAnswer({ ok: false, code: "refused", reason: "malformed request" }));
    }
  }

  #takeFrame(frame: Frame, message: BusMessage): void {
    if (this.#held && frame.verb !== SessionVerb.attach && frame.verb !== SessionVerb.closed && frame.verb !== SessionVerb.acks) {
      this.#held.push({ frame, message });
      return;
    }
    this.#handle(frame, message);
  }

  #handle(frame: Frame, message: BusMessage): void {
    switch (frame.verb) {
      case SessionVerb.p2p:
        return this.p2p.take(frame.body, message);
      case SessionVerb.acks:
        return this.#acknowledge(frame.head as AckBatch);
      case SessionVerb.connect:
        return this.#ask(frame.head as ConnectRequest, message, { kind: "connect", request: frame.head as ConnectRequest, order: this.nextOrder(), reply: message });
      case SessionVerb.closed:
        return this.#ask(frame.head as ClosedNotice, message, { kind: "closed", notice: frame.head as ClosedNotice, ownEpoch: this.parts.epoch, reply: message });
      case SessionVerb.subscribe:
        return this.#ask(frame.head as SubscribeRequest, message, { kind: "subscribe", request: frame.head as SubscribeRequest, reply: message });
      case SessionVerb.unsubscribe:
        return this.#ask(frame.head as UnsubscribeRequest, message, { kind: "unsubscribe", request: frame.head as UnsubscribeRequest, reply: message });
      case SessionVerb.drop:
        return this.#ask(frame.head as ClientRef, message, { kind: "drop", reply: message });
      case SessionVerb.attach:
        return this.#attach(frame.head as AttachList, message);
      case SessionVerb.query:
        return void message.respond(encodeAnswer({ ok: true, ...this.#summary(frame.head as ClientRef) } as Answer));
      default:
        message.respond(encodeAnswer({ ok: false, code: "refused", reason: `verb ${frame.verb} is not known` }));
    }
  }

  #ask(ref: ClientRef, message: BusMessage, turn: SessionMessage): void {
    const outcome = this.tell(this.keyOf(ref), turn);
    if (outcome === "busy") message.respond(encodeAnswer({ ok: false, code: "busy", reason: "too many requests for this client" }));
    else if (outcome === "fenced") message.respond(FENCED);
  }

  tell(key: ActorKey, message: SessionMessage): "accepted" | "busy" | "fenced" {
    return this.parts.actors.tell(key, message);
  }

  #acknowledge({ acks }: AckBatch): void {
    const { runner } = this.parts;
    for (const [instance, clientId, , positions] of acks) {
      // whatever connection it came by: positions are never given out twice, the client has it
      const queue = runner.inbox.queue(instance, clientId);
      if (queue) runner.inbox.acknowledge(queue, positions);
    }
    runner.pump();
  }

  // attach

  #attach(list: AttachList, message: BusMessage): void {
    const collector = new AttachCollector(list.connections.length, (refused) => {
      attaches.refused.add(refused.length);
      attaches.accepted.add(list.connections.length - refused.length);
      message.respond(encodeAnswer({ ok: true, refused } as Answer));
      this.phase.listed(list.ingress);
      this.proceed();
    });
    const listed = new Set<string>();
    const buried = this.parts.isBuried(list.ingress);
    for (const each of list.connections) {
      listed.add(each.sequence);
      const turn: SessionMessage = { kind: "attach", ingress: list.ingress, listed: each, ownEpoch: this.parts.epoch, buried, reply: collector };
      if (this.tell(this.keyOf(each), turn) !== "accepted") collector.add(each.connection, "the owner is busy");
    }
    const grantedBeforeMs = Date.now() - this.parts.listGraceMs;
    for (const { key, connection } of this.online.values()) {
      if (connection.ingress !== list.ingress || listed.has(connection.sequence)) continue;
      // one that was just granted may not have reached its ingress when the list was made
      if (connection.epoch === this.parts.epoch && connection.sinceMs > grantedBeforeMs) continue;
      this.tell(key, { kind: "gone", sequence: connection.sequence });
    }
  }

  /** Asks an ingress for its list, unless it was asked. */
  askList(ingress: string): void {
    if (this.phase.expect(ingress)) this.parts.orders.list(ingress, this.parts.shard, this.parts.epoch);
  }

  askListsAgain(): void {
    for (const ingress of this.phase.missing()) this.parts.orders.list(ingress, this.parts.shard, this.parts.epoch);
  }

  /** Ends the attach phase when it is over. */
  proceed(): void {
    if (!this.#held || !this.phase.isOver(performance.now())) return;
    const held = this.#held;
    this.#held = null;
    for (const key of this.resting.values()) this.tell(key, { kind: "all-listed" });
    for (const { frame, message } of held) this.#handle(frame, message);
  }

  ingressDead(ingress: string): void {
    this.phase.dead(ingress);
    for (const { key, connection } of [...this.online.values()]) {
      if (connection.ingress === ingress) this.tell(key, { kind: "ingress-dead", ingress });
    }
    for (const key of [...this.timed.values()]) this.tell(key, { kind: "ingress-dead", ingress });
    this.proceed();
  }

  /** Deliveries may have been lost with the connection to NATS: everything unacknowledged is sent again. */
  reconnected(): void {
    const { runner } = this.parts;
    // the server may have forgotten who reads
    runner.read();
    for (const { key, connection } of this.online.values()) {
      const queue = runner.inbox.queue(key.instance, key.clientId);
      if (queue) runner.inbox.attach(queue, connection);
    }
    runner.pump();
  }

  // turns

  perform(key: ActorKey, effects: readonly SessionEffect[]): void {
    performEffects(this, key, effects);
    const name = `${key.instance}/${key.clientId}`;
    const state = this.parts.actors.peek(key);
    if (state && needsTick(state)) this.timed.set(name, key);
    else this.timed.delete(name);
    if (state?.session?.stored && !this.online.has(name)) this.resting.set(name, key);
    else this.resting.delete(name);
  }

  /** Deadlines of closes and slowed takeovers. */
  tick(): void {
    for (const [name, key] of this.timed) {
      const state = this.parts.actors.peek(key);
      if (!state || !needsTick(state)) this.timed.delete(name);
      else this.tell(key, { kind: "tick" });
    }
  }

  /** Sessions and messages whose time is up. */
  expire(nowMs: number): void {
    if (!this.isServing) return;
    for (const key of this.resting.values()) {
      const session = this.parts.actors.peek(key)?.session;
      if (session && isExpired(session, nowMs)) this.tell(key, { kind: "tick" });
    }
    this.parts.runner.inbox.expire(nowMs);
    this.parts.runner.pump();
  }

  #summary(ref: ClientRef): SessionSummary {
    const name = `${ref.instance}/${ref.clientId}`;
    const connection = this.online.get(name)?.connection;
    const session = this.parts.actors.peek(this.keyOf(ref))?.session;
    const queued = this.parts.runner.inbox.queue(ref.instance, ref.clientId)?.length;
    const about = {
      ...(session ? { subscriptions: [...session.subscriptions.values()] } : {}),
      ...(queued === undefined ? {} : { queued }),
    };
    if (connection) {
      const { ingress, sequence, channelId, sinceMs } = connection;
      return { state: "online", ingress, sequence, channelId, sinceMs, ...about };
    }
    if (!session?.stored) return { state: "none" };
    return { state: "offline", ...(session.offlineSinceMs === null ? {} : { sinceMs: session.offlineSinceMs }), ...about };
  }
}

const FENCED = encodeAnswer({ ok: false, code: "fenced", reason: "not the owner" });
