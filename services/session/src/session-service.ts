/**
 * The session service: keeps its share of the session shards (libs/shards), one OwnedShard each,
 * with one actor per Client ID on one host.
 *
 * A shard is acquired in this order: its sessions are loaded, the positions of its inbox are taken
 * over (fencing the owner before), its filters are published, requests are taken, every ingress is
 * asked for its connections, the inbox is read. It is released in the reverse order, and the last
 * checkpoint makes the hand-over exact.
 */
import { ActorHost, type ActorKey } from "@hawser/actors";
import type { Bus } from "@hawser/bus";
import type { CatalogReader } from "@hawser/catalog";
import { errorLine } from "@hawser/errors";
import type { InboxLimits } from "@hawser/inbox";
import type { LogWriter } from "@hawser/log";
import type { MemberBoard, ReleaseReason, ShardKeeper } from "@hawser/shards";
import { counter, gauge, metricNames, type Logger } from "@hawser/telemetry";
import { buckets, inboxStreamConfig, services } from "@hawser/wire";
import { FilterPublisher } from "./filter-publisher.ts";
import { IngressOrders } from "./ingress-orders.ts";
import { InboxRunner } from "./inbox-runner.ts";
import { OwnedShard } from "./owned-shard.ts";
import { isOwn } from "./perform-effects.ts";
import { PresenceWriter } from "./presence-writer.ts";
import type { SessionEffect, SessionMessage, SessionSettings } from "./reduce-session.ts";
import { sessionBehaviour } from "./session-behaviour.ts";
import type { SessionState } from "./session-state.ts";

export interface SessionServiceParts {
  readonly bus: Bus;
  readonly board: MemberBoard;
  readonly catalog: CatalogReader;
  readonly log: LogWriter;
  /** The service's claims; it is told what to do with a shard. */
  readonly keeper: (callbacks: ShardCallbacks) => ShardKeeper;
  readonly partitions: number;
  readonly replicas: number;
  readonly limits: InboxLimits;
  readonly heartbeatMs: number;
  /** How long an ingress that lives may take to close a connection that is taken over. */
  readonly closeTimeoutMs: number;
  readonly logger: Logger;
}

export interface ShardCallbacks {
  onAcquire(shard: number, epoch: number): Promise<void>;
  onRelease(shard: number, epoch: number, reason: ReleaseReason): Promise<void>;
}

const TICK_MS = 100;
const TRIM_MS = 2_000;
const EXPIRE_MS = 2_000;
const DRAIN_MS = 2_000;
/** An ingress gives up on a CONNECT after 15 s: what was granted longer ago is in its list. */
const LIST_GRACE_MS = 15_000;
const COUNTED = ["acknowledged", "redelivered", "droppedFull", "droppedAge", "droppedLost", "duplicates", "unreadable"] as const;

export class SessionService {
  readonly #parts: SessionServiceParts;
  readonly #keeper: ShardKeeper;
  readonly #host: ActorHost<SessionState, SessionMessage, SessionEffect>;
  readonly #orders: IngressOrders;
  readonly #presence: PresenceWriter;
  readonly #shards = new Map<number, OwnedShard>();
  readonly #buried = new Set<string>();
  readonly #stopping: (() => void)[] = [];
  #startedAtMs = 0;
  #wasCovered = false;
  #lastTrimMs = 0;
  #lastExpireMs = 0;
  #lastListMs = 0;

  constructor(parts: SessionServiceParts) {
    this.#parts = parts;
    const { bus, catalog, log, logger } = parts;
    const settings: SessionSettings = {
      closeTimeoutMs: parts.closeTimeoutMs,
      takeoverLimit: 5,
      takeoverWindowMs: 10_000,
      takeoverDelayMs: 1_000,
      listGraceMs: LIST_GRACE_MS,
    };
    this.#orders = new IngressOrders(bus);
    this.#presence = new PresenceWriter(catalog, log, parts.partitions, logger);
    this.#keeper = parts.keeper({
      onAcquire: (shard, epoch) => this.#acquire(shard, epoch),
      onRelease: (shard, epoch, reason) => this.#release(shard, epoch, reason),
    });
    this.#host = new ActorHost({
      bus,
      bucket: buckets.sessions,
      epochOf: (shard: number) => this.#keeper.epochOf(shard),
      mayServe: () => this.#keeper.mayServe(),
      onStale: () => this.#keeper.doubt(),
      behaviour: sessionBehaviour(settings, (key, effects) => this.#shards.get(key.shard)?.perform(key, effects)),
      log: logger,
    });
  }

  /** Creates what is missing in JetStream and begins to claim shards. @throws when NATS is away */
  async start(): Promise<void> {
    const { bus, board, replicas } = this.#parts;
    await Promise.all([
      // the enums of the client library are these texts
      bus.ensureStream(inboxStreamConfig(replicas) as unknown as Parameters<Bus["ensureStream"]>[0]),
      bus.ensureKv(buckets.sessions, { replicas }),
      bus.ensureKv(buckets.filters, { replicas }),
      bus.ensureKv(buckets.positions, { replicas }),
    ]);
    this.#startedAtMs = performance.now();
    const ticker = setInterval(() => this.#tick(), TICK_MS);
    this.#stopping.push(
      () => clearInterval(ticker),
      board.onChange(() => this.#membersChanged()),
      board.onDead((member: string) => this.#dead(member)),
      bus.onStatus((connected) => connected && this.#forEach((shard) => shard.reconnected())),
      gauge(metricNames.actorsActive, { service: services.session }, () => this.#host.active),
      gauge(metricNames.inboxQueued, null, () => this.#sum((shard) => shard.parts.runner.inbox.size)),
      gauge(metricNames.sessions, { kind: "online" }, () => this.#sum((shard) => shard.online.size)),
      gauge(metricNames.sessions, { kind: "offline" }, () => this.#sum((shard) => shard.resting.size)),
    );
    await this.#keeper.start();
  }

  /** Hands every shard over. */
  async drain(): Promise<void> {
    await this.#keeper.drain();
    for (const stop of this.#stopping.splice(0)) stop();
  }

  /** Null when it can serve. */
  notReady(): string | null {
    const { bus, board } = this.#parts;
    if (!bus.connected) return "NATS is away";
    if (!board.healthy()) return "does not hear itself";
    if (!this.#keeper.mayServe()) return "the shard records are being read";
    // only at start: the death of another member is not this one's failure
    this.#wasCovered ||= this.#keeper.covered;
    if (!this.#wasCovered) return "shards have no owner yet";
    const owned = this.#keeper.owned();
    if (owned.some((shard) => !this.#shards.has(shard))) return "opens its shards";
    if (owned.some((shard) => !this.#shards.get(shard)!.isServing)) return "waits for the lists of the ingresses";
    return null;
  }

  get owned(): readonly number[] {
    return [...this.#shards.keys()];
  }

  async #acquire(shard: number, epoch: number): Promise<void> {
    const { bus, board, limits, logger } = this.#parts;
    const mine = (): boolean => this.#keeper.epochOf(shard) === epoch && this.#keeper.mayServe();
    const fenced = (what: string) => (): void => this.#fenced(shard, epoch, what);
    const keys = await this.#host.openShard(shard, epoch).then(() => this.#host.loadAll(shard));
    let owned: OwnedShard | null = null;
    const runner = new InboxRunner({
      bus,
      positions: bus.kv(buckets.positions),
      orders: this.#orders,
      shard,
      epoch,
      limits,
      mayServe: mine,
      receiptOf: (envelope) => owned!.p2p.receiptOf(envelope),
      onFenced: fenced("positions"),
      logger,
    });
    const { inbox } = runner;
    const filters = new FilterPublisher({ bucket: bus.kv(buckets.filters), board, shard, epoch, filters: () => inbox.subscriptions.filters(), onFenced: fenced("filters") });
    owned = new OwnedShard({
      bus,
      shard,
      epoch,
      actors: this.#host,
      orders: this.#orders,
      presence: this.#presence,
      runner,
      filters,
      mayServe: mine,
      isBuried: (ingress) => this.#buried.has(ingress),
      settledAtMs: this.#startedAtMs + this.#parts.heartbeatMs * 2.5,
      listGraceMs: LIST_GRACE_MS,
      logger,
    });
    for (const key of keys) this.#openSession(owned, key);
    inbox.subscriptions.changed = false;
    try {
      await runner.load();
      await filters.start();
      this.#shards.set(shard, owned);
      owned.open();
      await bus.flush();
    } catch (error) {
      await this.#close(owned, false);
      throw error;
    }
    this.#askLists(owned);
    owned.proceed();
    runner.read();
  }

  #openSession(owned: OwnedShard, key: ActorKey): void {
    const session = this.#host.peek(key)?.session;
    if (!session) return;
    const { inbox } = owned.parts.runner;
    const queue = inbox.open({ instance: key.instance, clientId: key.clientId, token: key.token, bornEpoch: session.born.epoch, bornCounter: session.born.counter });
    for (const subscription of session.subscriptions.values()) if (isOwn(subscription)) inbox.subscribe(queue, subscription);
    owned.resting.set(`${key.instance}/${key.clientId}`, key);
  }

  async #release(shard: number, epoch: number, reason: ReleaseReason): Promise<void> {
    const owned = this.#shards.get(shard);
    if (!owned || owned.parts.epoch !== epoch) return;
    const orderly = reason !== "lost";
    await owned.close();
    if (orderly) await this.#quiet(owned);
    await this.#close(owned, orderly);
  }

  async #close(owned: OwnedShard, orderly: boolean): Promise<void> {
    const { shard, filters, runner } = owned.parts;
    owned.sendOn();
    if (!orderly) this.#shards.delete(shard);
    // what is being written still has its effects; the checkpoint comes after them
    await this.#host.closeShard(shard);
    await runner.stop(orderly);
    filters.stop();
    this.#shards.delete(shard);
  }

  /** What was accepted is done, for at most 2 s. */
  async #quiet(owned: OwnedShard): Promise<void> {
    const until = performance.now() + DRAIN_MS;
    while (owned.p2p.pending > 0 && performance.now() < until) await new Promise((resolve) => setTimeout(resolve, 10));
  }

  /** A record of the shard carries a newer epoch: somebody else has it. */
  #fenced(shard: number, epoch: number, what: string): void {
    this.#parts.logger.warn({ shard, epoch, record: what }, "another owner has taken this shard");
    this.#release(shard, epoch, "lost").catch((error: unknown) => this.#parts.logger.error({ shard, reason: errorLine(error) }, "release failed"));
  }

  // members

  #membersChanged(): void {
    this.#forEach((shard) => {
      this.#askLists(shard);
      shard.parts.filters.check();
      shard.proceed();
    });
  }

  #askLists(shard: OwnedShard): void {
    // one that is only joining holds no connection yet
    for (const { member, state } of this.#parts.board.members(services.ingress)) if (state !== "joining") shard.askList(member);
  }

  #dead(member: string): void {
    this.#buried.add(member);
    if (this.#buried.size > 1000) this.#buried.delete(this.#buried.values().next().value!);
    this.#forEach((shard) => {
      shard.ingressDead(member);
      shard.parts.filters.check();
    });
  }

  // time

  #tick(): void {
    const now = performance.now();
    const due = (lastMs: number, everyMs: number): boolean => now - lastMs >= everyMs;
    const [trim, expire, list] = [due(this.#lastTrimMs, TRIM_MS), due(this.#lastExpireMs, EXPIRE_MS), due(this.#lastListMs, this.#parts.heartbeatMs)];
    if (trim) this.#lastTrimMs = now;
    if (expire) this.#lastExpireMs = now;
    if (list) this.#lastListMs = now;
    if (!this.#keeper.mayServe()) return;
    this.#forEach((shard) => {
      shard.tick();
      if (list && !shard.isServing) shard.askListsAgain();
      shard.proceed();
      shard.parts.filters.check();
      if (expire) shard.expire(Date.now());
      shard.parts.runner.pump();
      this.#background(shard.parts.runner.checkpoint());
      if (trim) this.#background(shard.parts.runner.trim());
    });
    this.#countInbox();
  }

  #background(work: Promise<void>): void {
    work.catch((error: unknown) => this.#parts.logger.error({ reason: errorLine(error) }, "inbox upkeep failed"));
  }

  readonly #counted = {
    acknowledged: counter(metricNames.inboxDelivered),
    redelivered: counter(metricNames.inboxRedelivered),
    droppedFull: counter(metricNames.inboxDropped, { reason: "full" }),
    droppedAge: counter(metricNames.inboxDropped, { reason: "age" }),
    droppedLost: counter(metricNames.inboxDropped, { reason: "lost" }),
    duplicates: counter(metricNames.inboxDropped, { reason: "duplicate" }),
    unreadable: counter(metricNames.inboxDropped, { reason: "unreadable" }),
  };

  #countInbox(): void {
    this.#forEach(({ parts: { runner } }) => {
      const { stats } = runner.inbox;
      for (const name of COUNTED) {
        this.#counted[name].add(stats[name]);
        stats[name] = 0;
      }
    });
  }

  #forEach(work: (shard: OwnedShard) => void): void {
    for (const shard of this.#shards.values()) work(shard);
  }

  #sum(of: (shard: OwnedShard) => number): number {
    let sum = 0;
    this.#forEach((shard) => (sum += of(shard)));
    return sum;
  }
}
