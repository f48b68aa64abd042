/**
 * Actors of the shards this process owns. A message activates its actor (loading its records), is
 * handled by the behaviour, and what the behaviour wants to say leaves only when what it decided is
 * stored. A record somebody else has written means this process is a stale owner of the shard: the
 * actor is dropped and nothing of it leaves. docs/adr/0001.
 *
 * An actor that throws takes no more turns. What its earlier turns decided is stored and leaves;
 * then it is forgotten, and loaded again from its records for the messages that wait.
 */
import type { Bus } from "@hawser/bus";
import { HawserError } from "@hawser/errors";
import { ActiveActor } from "./active-actor.ts";
import { encodeActorRecord } from "./actor-record.ts";
import type { ActorKey, Behaviour, StoredRecord } from "./behaviour.ts";
import { Faults } from "./faults.ts";
import { type LoadedRecord, loadRecord, OpenShard } from "./open-shard.ts";
import { RecordStore, type RecordUpdate } from "./record-store.ts";

export interface ActorHostOptions<S, M, E> {
  readonly bus: Bus;
  /** KV bucket of the records. */
  readonly bucket: string;
  /** Shown in log lines. */
  readonly service?: string;
  readonly behaviour: Behaviour<S, M, E>;
  readonly epochOf: (shard: number) => number;
  readonly mayServe: () => boolean;
  /** Another owner has written a record of this shard: read the shard records again. */
  readonly onStale?: (shard: number) => void;
  /** Messages an actor may hold, and turns whose effects wait. Default 256. */
  readonly mailboxLimit?: number;
  /** Default 120 s. */
  readonly idleMs?: number;
  /** How often idle actors are looked for. Default 5 s. */
  readonly sweepMs?: number;
  readonly now?: () => number;
  readonly log?: { warn(fields: object, text: string): void };
}

const MAILBOX_LIMIT = 256;
const IDLE_MS = 120_000;
const SWEEP_MS = 5_000;
const CLOSE_TIMEOUT_MS = 2_000;
const CLOSE_POLL_MS = 5;
const LOAD_RETRY_MS = 100;
/** Batches on their way: while the store is slow they grow instead of becoming many. */
const BATCHES_IN_FLIGHT = 4;

export class ActorHost<S, M, E> {
  readonly #options: ActorHostOptions<S, M, E>;
  readonly #store: RecordStore;
  readonly #now: () => number;
  readonly #shards = new Map<number, OpenShard<S, M, E>>();
  readonly #faults = new Faults();
  readonly #sweep: NodeJS.Timeout;
  /** Actors whose records go out at the end of the tick. */
  #toWrite: ActiveActor<S, M, E>[] = [];
  #batchesInFlight = 0;

  constructor(options: ActorHostOptions<S, M, E>) {
    this.#options = options;
    this.#store = new RecordStore(options.bus, options.bucket);
    this.#now = options.now ?? Date.now;
    this.#sweep = setInterval(() => this.#passivate(), options.sweepMs ?? SWEEP_MS);
    this.#sweep.unref();
  }

  /** Reads the records of the shard. @throws when NATS is away */
  async openShard(shard: number, epoch: number): Promise<void> {
    this.#shards.get(shard)?.forget();
    this.#shards.set(shard, new OpenShard(epoch, await this.#store.list(`${shard}.`)));
  }

  /** Activates every actor of the shard that has records. */
  async loadAll(shard: number): Promise<ActorKey[]> {
    const open = this.#shards.get(shard);
    if (!open) return [];
    const keys: ActorKey[] = [];
    for (const [token, loaded] of open.takePreloaded()) {
      const record = loaded.find((one) => one.record !== null)?.record;
      if (!record) this.#options.log?.warn({ actors: this.#options.service, shard, token }, "records that cannot be read: left alone");
      else keys.push({ instance: record.instance, clientId: record.clientId, shard, token });
      if (record) this.#start(open, keys.at(-1)!, [], loaded);
    }
    return keys;
  }

  /** What was accepted and what is being written is waited for, for at most 2 s; then the shard's actors are forgotten. */
  async closeShard(shard: number): Promise<void> {
    const open = this.#shards.get(shard);
    if (!open) return;
    const deadline = performance.now() + CLOSE_TIMEOUT_MS;
    while (open.busy && performance.now() < deadline && this.#options.bus.connected) await new Promise((resolve) => setTimeout(resolve, CLOSE_POLL_MS));
    open.forget();
    if (this.#shards.get(shard) === open) this.#shards.delete(shard);
  }

  stop(): void {
    clearInterval(this.#sweep);
    for (const open of this.#shards.values()) open.forget();
    this.#shards.clear();
  }

  /** Actors in memory. */
  get active(): number {
    let sum = 0;
    for (const { actors } of this.#shards.values()) sum += actors.size;
    return sum;
  }

  /** Records written so far. */
  get writes(): number {
    return this.#store.writes;
  }

  /** The state of an actor that is in memory. Not to be changed. */
  peek(key: ActorKey): S | undefined {
    const actor = this.#shards.get(key.shard)?.actors.get(key.token);
    return actor === undefined || actor.failed ? undefined : (actor.state ?? undefined);
  }

  /** @returns busy: its mailbox is full, or it failed and is in quarantine; fenced: not the owner now */
  tell(key: ActorKey, message: M): "accepted" | "busy" | "fenced" {
    const open = this.#shards.get(key.shard);
    if (!open || open.epoch !== this.#options.epochOf(key.shard) || !this.#options.mayServe()) return "fenced";
    if (this.#faults.quarantined(key.token, this.#now())) return "busy";
    const actor = open.actors.get(key.token) ?? this.#start(open, key, []);
    if (actor.dropped) return "busy";
    if (actor.key.clientId !== key.clientId || actor.key.instance !== key.instance) {
      throw new HawserError("HAWSER_E_START", `${key.clientId} and ${actor.key.clientId} have the same token`);
    }
    const limit = this.#options.mailboxLimit ?? MAILBOX_LIMIT;
    if (actor.mailbox.length >= limit || actor.gated >= limit) return "busy";
    actor.mailbox.push(message);
    this.#run(actor);
    return "accepted";
  }

  /** @param loaded its records, when they are known */
  #start(open: OpenShard<S, M, E>, key: ActorKey, mailbox: M[], loaded = open.preloaded(key.token)): ActiveActor<S, M, E> {
    const actor = new ActiveActor<S, M, E>(key, open.epoch, this.#now(), mailbox);
    open.actors.set(key.token, actor);
    if (loaded) this.#activate(actor, loaded);
    else void this.#load(actor);
    return actor;
  }

  async #load(actor: ActiveActor<S, M, E>): Promise<void> {
    while (!actor.dropped) {
      const entries = await this.#store.list(`${actor.key.shard}.${actor.key.token}`).catch(() => null);
      if (actor.dropped) return;
      // what waits may be turns that store nothing: they must not leave while it is in doubt who the owner is
      if (entries !== null && this.#options.mayServe()) return this.#activate(actor, entries.map(loadRecord));
      await new Promise((resolve) => setTimeout(resolve, LOAD_RETRY_MS));
    }
  }

  #activate(actor: ActiveActor<S, M, E>, loaded: readonly LoadedRecord[]): void {
    const { key } = actor;
    const records: StoredRecord[] = [];
    try {
      for (const { suffix, record, revision } of loaded) {
        if (record === null) throw new Error(`its record "${suffix}" cannot be read`);
        if (record.clientId !== key.clientId || record.instance !== key.instance) throw new Error(`its token is also that of ${record.clientId}`);
        actor.revisions.set(suffix, revision);
        records.push({ suffix, value: record.value });
      }
      actor.state = this.#options.behaviour.create(key, records);
    } catch (error) {
      return this.#failed(actor, error);
    }
    // stamped with my epoch before anything leaves: an older owner's next write is refused
    const older = loaded.filter(({ record }) => record!.epoch !== actor.epoch);
    if (older.length > 0) actor.collect(older.map(({ suffix, record }) => ({ suffix, value: record!.value })), []);
    this.#run(actor);
  }

  /** Turns until the mailbox is empty. Called from within a turn or its effects, it leaves the rest to the caller's caller. */
  #run(actor: ActiveActor<S, M, E>): void {
    if (actor.running || actor.state === null) return;
    const { behaviour } = this.#options;
    actor.running = true;
    while (actor.mailbox.length > 0 && !actor.dropped && !actor.failed) {
      actor.lastUsedMs = this.#now();
      try {
        const { writes, effects } = behaviour.receive(actor.state, actor.mailbox.shift()!, actor.lastUsedMs);
        if (writes.length > 0 || !actor.open) actor.collect(writes, effects);
        else if (effects.length > 0) this.#perform(actor, effects);
      } catch (error) {
        this.#failed(actor, error);
      }
    }
    actor.running = false;
    this.#flush(actor);
    this.#release(actor);
  }

  #perform(actor: ActiveActor<S, M, E>, effects: readonly E[]): void {
    actor.performing = true;
    try {
      this.#options.behaviour.perform(effects, actor.key);
    } catch (error) {
      this.#failed(actor, error);
    }
    actor.performing = false;
  }

  /** Lets out what may leave. */
  #release(actor: ActiveActor<S, M, E>): void {
    if (actor.performing) return;
    for (let effects = actor.takeEffects(); effects !== undefined && !actor.dropped; effects = actor.takeEffects()) this.#perform(actor, effects);
    if (actor.failed && actor.settled) this.#restart(actor);
  }

  #flush(actor: ActiveActor<S, M, E>): void {
    if (actor.writing || !actor.dirty) return;
    actor.writing = true;
    this.#toWrite.push(actor);
    if (this.#toWrite.length === 1) setImmediate(() => this.#writeAll());
  }

  /** The records of all actors of a tick go out together. */
  #writeAll(): void {
    if (this.#batchesInFlight >= BATCHES_IN_FLIGHT) return;
    const actors = this.#toWrite;
    this.#toWrite = [];
    const updates: RecordUpdate[] = [];
    for (const actor of actors) if (!actor.dropped) this.#write(actor, updates);
    if (updates.length === 0) return;
    this.#batchesInFlight++;
    void this.#store.write(updates).then(() => {
      this.#batchesInFlight--;
      if (this.#toWrite.length > 0) this.#writeAll();
    });
  }

  #write(actor: ActiveActor<S, M, E>, updates: RecordUpdate[]): void {
    const { shard, token } = actor.key;
    const writes = actor.startBatch();
    let left = 0;
    for (const [suffix, value] of writes) {
      const revision = actor.revisions.get(suffix) ?? 0;
      if (value === null && revision === 0) continue;
      left++;
      updates.push({
        key: suffix === "" ? `${shard}.${token}` : `${shard}.${token}.${suffix}`,
        value: value === null ? null : encodeActorRecord(actor.key, actor.epoch, value),
        revision,
        abandoned: () => actor.dropped,
        done: (stored) => {
          if (stored === null) return this.#stale(actor);
          if (value === null) actor.revisions.delete(suffix);
          else actor.revisions.set(suffix, stored);
          if (--left === 0) this.#written(actor);
        },
      });
    }
    if (left > 0) this.#shards.get(shard)?.stored.add(token);
    else this.#written(actor);
  }

  #written(actor: ActiveActor<S, M, E>): void {
    actor.endBatch();
    if (actor.revisions.size === 0) this.#shards.get(actor.key.shard)?.stored.delete(actor.key.token);
    this.#flush(actor);
    this.#release(actor);
  }

  #stale(actor: ActiveActor<S, M, E>): void {
    const { clientId, shard, token } = actor.key;
    this.#options.log?.warn({ actors: this.#options.service, clientId, shard, epoch: actor.epoch }, "a record has another writer: actor dropped");
    this.#drop(actor);
    this.#shards.get(shard)?.stored.add(token);
    this.#options.onStale?.(shard);
  }

  #failed(actor: ActiveActor<S, M, E>, error: unknown): void {
    this.#options.log?.warn({ actors: this.#options.service, clientId: actor.key.clientId, err: error }, "actor failed: loaded again");
    this.#faults.add(actor.key.token, this.#now());
    actor.failed = true;
    if (actor.settled) this.#restart(actor);
  }

  #restart(actor: ActiveActor<S, M, E>): void {
    if (actor.dropped) return;
    this.#drop(actor);
    const { key, mailbox } = actor;
    const open = this.#shards.get(key.shard);
    if (mailbox.length === 0 || open?.epoch !== actor.epoch) return;
    if (!this.#faults.quarantined(key.token, this.#now())) return void this.#start(open, key, mailbox);
    this.#options.log?.warn({ actors: this.#options.service, clientId: key.clientId, messages: mailbox.length }, "actor in quarantine: messages lost");
  }

  #drop(actor: ActiveActor<S, M, E>): void {
    actor.dropped = true;
    const actors = this.#shards.get(actor.key.shard)?.actors;
    if (actors?.get(actor.key.token) === actor) actors.delete(actor.key.token);
  }

  #passivate(): void {
    const now = this.#now();
    const idleMs = this.#options.idleMs ?? IDLE_MS;
    this.#faults.sweep(now);
    for (const { actors } of this.#shards.values()) {
      for (const actor of actors.values()) {
        if (actor.state === null || !actor.settled || now - actor.lastUsedMs < idleMs) continue;
        if (this.#options.behaviour.idle(actor.state, now)) this.#drop(actor);
      }
    }
  }
}
