/**
 * Actors of the shards this process owns. A message activates its actor (loading its records), is
 * handled by the behaviour, and what the behaviour wants to say leaves only when what it decided is
 * stored. A record somebody else has written means this process is a stale owner of the shard: the
 * actor is dropped and nothing of it leaves. docs/adr/0001.
 */
import type { Bus } from "@hawser/bus";
import { HawserError } from "@hawser/errors";
import { ActiveActor } from "./active-actor.ts";
import { decodeActorRecord, encodeActorRecord } from "./actor-record.ts";
import type { ActorKey, Behaviour, StoredRecord } from "./behaviour.ts";
import { RecordStore } from "./record-store.ts";

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
  /** Messages and gated effects an actor may hold. Default 256. */
  readonly mailboxLimit?: number;
  /** Default 120 s. */
  readonly idleMs?: number;
  readonly now?: () => number;
  readonly log?: { warn(fields: object, text: string): void };
}

const MAILBOX_LIMIT = 256;
const IDLE_MS = 120_000;
const SWEEP_MS = 5_000;
const CLOSE_TIMEOUT_MS = 2_000;
const LOAD_RETRY_MS = 100;
const THROWS_LIMIT = 3;
const THROWS_WINDOW_MS = 60_000;
const QUARANTINE_MS = 30_000;

interface OpenShard {
  readonly epoch: number;
  /** Tokens with records: an actor without one is created without asking the store. */
  readonly stored: Set<string>;
  /** What openShard read, until loadAll takes it. */
  preloaded: Map<string, Loaded[]> | null;
}

interface Loaded {
  readonly suffix: string;
  readonly record: ReturnType<typeof decodeActorRecord>;
  readonly revision: number;
}

export class ActorHost<S, M, E> {
  readonly #options: ActorHostOptions<S, M, E>;
  readonly #store: RecordStore;
  readonly #now: () => number;
  readonly #shards = new Map<number, OpenShard>();
  readonly #actors = new Map<string, ActiveActor<S, M, E>>();
  readonly #throws = new Map<string, number[]>();
  readonly #sweep: NodeJS.Timeout;

  constructor(options: ActorHostOptions<S, M, E>) {
    this.#options = options;
    this.#store = new RecordStore(options.bus, options.bucket);
    this.#now = options.now ?? Date.now;
    this.#sweep = setInterval(() => this.#passivate(), SWEEP_MS);
    this.#sweep.unref();
  }

  /** Reads which actors of the shard have records. @throws when NATS is away */
  async openShard(shard: number, epoch: number): Promise<void> {
    const preloaded = new Map<string, Loaded[]>();
    for (const { key, value, revision } of await this.#store.list(`${shard}.`)) {
      const [, token = "", suffix = ""] = key.split(".");
      const loaded = preloaded.get(token) ?? [];
      loaded.push({ suffix, record: decodeActorRecord(value), revision });
      preloaded.set(token, loaded);
    }
    this.#shards.set(shard, { epoch, stored: new Set(preloaded.keys()), preloaded });
  }

  /** Activates every actor of the shard that has records. */
  async loadAll(shard: number): Promise<ActorKey[]> {
    const open = this.#shards.get(shard);
    if (!open?.preloaded) return [];
    const keys: ActorKey[] = [];
    for (const [token, loaded] of open.preloaded) {
      const { instance, clientId } = loaded[0]!.record;
      const key: ActorKey = { instance, clientId, shard, token };
      keys.push(key);
      if (this.#actors.has(token)) continue;
      const actor = new ActiveActor<S, M, E>(key, open.epoch, this.#now());
      this.#actors.set(token, actor);
      this.#activate(actor, loaded);
    }
    open.preloaded = null;
    return keys;
  }

  /** What is being written is waited for, for at most 2 s; then the shard's actors are forgotten. */
  async closeShard(shard: number): Promise<void> {
    const deadline = performance.now() + CLOSE_TIMEOUT_MS;
    const pending = (): boolean => [...this.#actors.values()].some((actor) => actor.key.shard === shard && !actor.open);
    while (pending() && performance.now() < deadline && this.#options.bus.connected) await new Promise((resolve) => setTimeout(resolve, 5));
    for (const actor of [...this.#actors.values()]) if (actor.key.shard === shard) this.#drop(actor);
    this.#shards.delete(shard);
  }

  stop(): void {
    clearInterval(this.#sweep);
    for (const actor of [...this.#actors.values()]) this.#drop(actor);
  }

  get active(): number {
    return this.#actors.size;
  }

  get writes(): number {
    return this.#store.writes;
  }

  /** The state of an actor that is in memory. Not to be changed. */
  peek(key: ActorKey): S | undefined {
    return this.#actors.get(key.token)?.state ?? undefined;
  }

  /** @returns busy: its mailbox is full or it is in quarantine; fenced: not the owner now */
  tell(key: ActorKey, message: M): "accepted" | "busy" | "fenced" {
    const open = this.#shards.get(key.shard);
    if (!open || open.epoch !== this.#options.epochOf(key.shard) || !this.#options.mayServe()) return "fenced";
    let actor = this.#actors.get(key.token);
    if (!actor) {
      if (this.#quarantined(key.token)) return "busy";
      actor = new ActiveActor<S, M, E>(key, open.epoch, this.#now());
      this.#actors.set(key.token, actor);
      const preloaded = open.preloaded?.get(key.token);
      if (preloaded) this.#activate(actor, preloaded);
      else if (open.stored.has(key.token)) void this.#load(actor);
      else this.#activate(actor, []);
    }
    if (actor.key.clientId !== key.clientId || actor.key.instance !== key.instance) {
      throw new HawserError("HAWSER_E_START", `${key.clientId} and ${actor.key.clientId} have the same token`);
    }
    const limit = this.#options.mailboxLimit ?? MAILBOX_LIMIT;
    if (actor.mailbox.length >= limit || actor.gated.length >= limit) return "busy";
    actor.mailbox.push(message);
    if (actor.state !== null) this.#run(actor);
    return "accepted";
  }

  async #load(actor: ActiveActor<S, M, E>): Promise<void> {
    const { shard, token } = actor.key;
    for (;;) {
      if (actor.dropped) return;
      try {
        const loaded = (await this.#store.list(`${shard}.${token}`)).map(({ key, value, revision }) => ({
          suffix: key.split(".")[2] ?? "",
          record: decodeActorRecord(value),
          revision,
        }));
        if (!actor.dropped) this.#activate(actor, loaded);
        return;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, LOAD_RETRY_MS));
      }
    }
  }

  #activate(actor: ActiveActor<S, M, E>, loaded: readonly Loaded[]): void {
    const foreign = loaded.find(({ record }) => record.clientId !== actor.key.clientId || record.instance !== actor.key.instance);
    if (foreign) {
      this.#options.log?.warn({ clientId: actor.key.clientId, other: foreign.record.clientId }, "two Client IDs share a token: refused");
      return this.#drop(actor);
    }
    const records: StoredRecord[] = [];
    for (const { suffix, record, revision } of loaded) {
      actor.revisions.set(suffix, revision);
      records.push({ suffix, value: record.value });
      // stamped with my epoch before anything leaves: an older owner's next write is refused
      if (record.epoch !== actor.epoch) actor.collect([{ suffix, value: record.value }], []);
    }
    try {
      actor.state = this.#options.behaviour.create(actor.key, records);
    } catch (error) {
      return this.#failed(actor, error);
    }
    this.#flush(actor);
    this.#run(actor);
  }

  #run(actor: ActiveActor<S, M, E>): void {
    if (actor.running) return;
    actor.running = true;
    const { behaviour } = this.#options;
    try {
      while (actor.mailbox.length > 0 && !actor.dropped) {
        const now = this.#now();
        actor.lastUsedMs = now;
        const turn = behaviour.receive(actor.state!, actor.mailbox.shift()!, now);
        if (turn.writes.length === 0 && actor.open) {
          if (turn.effects.length > 0) behaviour.perform(turn.effects, actor.key);
        } else {
          actor.collect(turn.writes, turn.effects);
          this.#flush(actor);
        }
      }
    } catch (error) {
      this.#failed(actor, error);
    } finally {
      actor.running = false;
    }
  }

  #flush(actor: ActiveActor<S, M, E>): void {
    if (actor.writing || !actor.dirty) return;
    actor.writing = true;
    setImmediate(() => this.#writeBatch(actor));
  }

  #writeBatch(actor: ActiveActor<S, M, E>): void {
    if (actor.dropped) return;
    const { writes, effects } = actor.takeBatch();
    const { shard, token } = actor.key;
    let left = writes.size;
    const open = this.#shards.get(shard);
    for (const [suffix, value] of writes) {
      const known = actor.revisions.get(suffix) ?? 0;
      if (value === null && known === 0) {
        if (--left === 0) this.#written(actor, effects);
        continue;
      }
      open?.stored.add(token);
      this.#store.update({
        key: suffix === "" ? `${shard}.${token}` : `${shard}.${token}.${suffix}`,
        value: value === null ? null : encodeActorRecord(actor.key, actor.epoch, value),
        revision: known,
        abandoned: () => actor.dropped,
        done: (revision) => {
          if (revision === null) return this.#stale(actor);
          if (value === null) actor.revisions.delete(suffix);
          else actor.revisions.set(suffix, revision);
          if (--left === 0) this.#written(actor, effects);
        },
      });
    }
  }

  #written(actor: ActiveActor<S, M, E>, effects: readonly E[]): void {
    actor.writing = false;
    if (actor.revisions.size === 0) this.#shards.get(actor.key.shard)?.stored.delete(actor.key.token);
    try {
      if (effects.length > 0) this.#options.behaviour.perform(effects, actor.key);
      if (actor.dirty) this.#flush(actor);
      else if (actor.gated.length > 0) this.#options.behaviour.perform(actor.takeBatch().effects, actor.key);
    } catch (error) {
      this.#failed(actor, error);
    }
  }

  #stale(actor: ActiveActor<S, M, E>): void {
    if (actor.dropped) return;
    this.#options.log?.warn({ actors: this.#options.service, clientId: actor.key.clientId, shard: actor.key.shard, epoch: actor.epoch }, "a record has another writer: actor dropped");
    this.#drop(actor);
    this.#shards.get(actor.key.shard)?.stored.add(actor.key.token);
    this.#options.onStale?.(actor.key.shard);
  }

  #failed(actor: ActiveActor<S, M, E>, error: unknown): void {
    const { token, clientId } = actor.key;
    this.#options.log?.warn({ actors: this.#options.service, clientId, err: error }, "actor failed: dropped, loaded again at its next message");
    const now = this.#now();
    this.#throws.set(token, [...(this.#throws.get(token) ?? []).filter((at) => now - at < THROWS_WINDOW_MS), now]);
    this.#drop(actor);
  }

  #quarantined(token: string): boolean {
    const throws = this.#throws.get(token);
    if (!throws || throws.length < THROWS_LIMIT) return false;
    if (this.#now() - throws.at(-1)! < QUARANTINE_MS) return true;
    this.#throws.delete(token);
    return false;
  }

  #drop(actor: ActiveActor<S, M, E>): void {
    actor.dropped = true;
    if (this.#actors.get(actor.key.token) === actor) this.#actors.delete(actor.key.token);
  }

  #passivate(): void {
    const now = this.#now();
    const idleMs = this.#options.idleMs ?? IDLE_MS;
    for (const actor of [...this.#actors.values()]) {
      if (actor.state === null || !actor.open || now - actor.lastUsedMs < idleMs) continue;
      if (this.#options.behaviour.idle(actor.state, now)) this.#drop(actor);
    }
  }
}
