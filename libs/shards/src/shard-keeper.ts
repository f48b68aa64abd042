/**
 * Owning shards: the shell around decideShard. It watches the records, looks again every
 * reconcileMs and after every outage, claims and hands over by compare-and-set, and says whether
 * this process may serve at all.
 */
import type { Bus, KvBucket, KvWatch } from "@hawser/bus";
import { errorLine } from "@hawser/errors";
import { buckets } from "@hawser/wire";
import { decideShard } from "./decide-shard.ts";
import type { MemberBoard } from "./member-board.ts";
import { placeShards } from "./place-shards.ts";
import { decodeShardChange, decodeShardRecord, encodeShardRecord, shardKey, type StoredShard } from "./shard-record.ts";

export type ReleaseReason = "handover" | "drain" | "lost";

export interface ShardKeeperOptions {
  readonly bus: Bus;
  readonly board: MemberBoard;
  readonly service: string;
  readonly shards: number;
  readonly reconcileMs: number;
  /** A pause longer than this makes the keeper read everything again. Default 3 s. */
  readonly selfMs?: number;
  /** How long the membership must be unchanged before a running shard is moved. Default 4 x 500 ms. */
  readonly settleMs?: number;
  readonly replicas?: number;
  /** The shard is mine under this epoch: subscribe its subject, load what must be loaded. */
  readonly onAcquire: (shard: number, epoch: number) => Promise<void>;
  /** Finish what is in hand (not when lost), write what must be written, forget the shard. */
  readonly onRelease: (shard: number, epoch: number, reason: ReleaseReason) => Promise<void>;
  readonly log?: { warn(fields: object, text: string): void };
}

const SETTLE_MS = 2_000;
const SELF_MS = 3_000;
const STEP_SOON_MS = 10;

export class ShardKeeper {
  readonly #options: ShardKeeperOptions;
  readonly #selfMs: number;
  #kv!: KvBucket;
  #watch: KvWatch | null = null;
  readonly #records = new Map<number, StoredShard>();
  readonly #held = new Map<number, number>();
  /** Shards with a write or a callback under way. */
  readonly #busy = new Set<number>();
  #mustReread = true;
  #rereading = false;
  #lastTickMs = performance.now();
  #membership = "";
  #membershipSinceMs = performance.now();
  #draining = false;
  #timer: NodeJS.Timeout | null = null;
  #stepTimer: NodeJS.Timeout | null = null;
  readonly #stopListening: (() => void)[] = [];

  constructor(options: ShardKeeperOptions) {
    this.#options = options;
    this.#selfMs = options.selfMs ?? SELF_MS;
  }

  async start(): Promise<void> {
    const { bus, board, service } = this.#options;
    this.#kv = await bus.ensureKv(buckets.shards, { replicas: this.#options.replicas ?? 1 });
    this.#watch = await this.#kv.watch(`${service}.`, (change) => {
      const [shard, record] = decodeShardChange(service, change);
      this.#learn(shard, record);
      this.#stepSoon();
    });
    this.#mustReread = false;
    this.#stopListening.push(
      board.onChange(() => this.#stepSoon()),
      bus.onStatus((connected) => {
        this.#mustReread = true;
        if (connected) this.#stepSoon();
      }),
    );
    this.#timer = setInterval(() => this.#tick(), Math.min(this.#options.reconcileMs, this.#selfMs / 2));
    this.#stepSoon();
  }

  /** 0 = not mine. */
  epochOf(shard: number): number {
    return this.#held.get(shard) ?? 0;
  }

  owned(): number[] {
    return [...this.#held.keys()];
  }

  /** Whether every shard has an owner as far as this process knows. */
  get covered(): boolean {
    for (let shard = 0; shard < this.#options.shards; shard++) if (!this.#records.get(shard)?.owner) return false;
    return true;
  }

  /**
   * Whether an owner may act: it has heard itself lately, and since the last disconnect or pause it
   * has read its shard records again.
   */
  mayServe(): boolean {
    if (performance.now() - this.#lastTickMs > this.#selfMs) this.#mustReread = true;
    return !this.#mustReread && this.#options.board.healthy();
  }

  #tick(): void {
    if (performance.now() - this.#lastTickMs > this.#selfMs) this.#mustReread = true;
    this.#lastTickMs = performance.now();
    void this.#reread();
  }

  /** Reads every record from the leader: a watch may be deaf without knowing. */
  async #reread(): Promise<void> {
    if (this.#rereading || !this.#options.bus.connected) return;
    this.#rereading = true;
    try {
      const { service } = this.#options;
      const outage = this.#mustReread;
      for (const { key, value, revision } of await this.#kv.list(`${service}.`)) {
        this.#learn(Number(key.slice(service.length + 1)), decodeShardRecord(value, revision));
      }
      if (outage) {
        for (const [shard, epoch] of this.#held) if (this.#records.get(shard)?.epoch !== epoch) this.#lose(shard);
        if (this.#options.bus.connected) this.#mustReread = false;
      }
    } catch {
      // NATS is away: the next tick tries again
    } finally {
      this.#rereading = false;
    }
    this.#step();
  }

  #learn(shard: number, record: StoredShard | null): void {
    const known = this.#records.get(shard);
    if (record === null) this.#records.delete(shard);
    else if (!known || record.revision > known.revision) this.#records.set(shard, record);
  }

  #stepSoon(): void {
    this.#stepTimer ??= setTimeout(() => {
      this.#stepTimer = null;
      if (this.#mustReread) void this.#reread();
      else this.#step();
    }, STEP_SOON_MS);
  }

  #step(): void {
    if (this.#timer === null || this.#draining || !this.mayServe()) return;
    const { board, service, shards } = this.#options;
    const ready = board.members(service).filter(({ state }) => state === "ready").map(({ member }) => member);
    const membership = ready.sort().join(" ");
    const now = performance.now();
    if (membership !== this.#membership) {
      this.#membership = membership;
      this.#membershipSinceMs = now;
    }
    const settled = now - this.#membershipSinceMs >= (this.#options.settleMs ?? SETTLE_MS);
    const placement = placeShards(shards, ready);
    for (let shard = 0; shard < shards; shard++) {
      if (this.#busy.has(shard)) continue;
      const record = this.#records.get(shard) ?? null;
      const decision = decideShard({
        me: board.member,
        record,
        held: this.#held.get(shard) ?? 0,
        wanted: placement[shard] === board.member,
        ownerAlive: record !== null && record.owner !== "" && board.isAlive(record.owner),
        settled,
      });
      if (decision === "claim") this.#run(shard, () => this.#claim(shard, record));
      else if (decision === "hand-over") this.#run(shard, () => this.#release(shard, "handover"));
      else if (decision === "free") this.#run(shard, () => this.#free(shard, record!));
      else if (decision === "lost") this.#lose(shard);
    }
  }

  #run(shard: number, work: () => Promise<void>): void {
    this.#busy.add(shard);
    work()
      .catch((error: unknown) => this.#options.log?.warn({ shard, error: errorLine(error) }, "shard"))
      .finally(() => {
        this.#busy.delete(shard);
        this.#stepSoon();
      });
  }

  async #claim(shard: number, record: StoredShard | null): Promise<void> {
    const { board, service } = this.#options;
    const epoch = (record?.epoch ?? 0) + 1;
    const value = encodeShardRecord({ owner: board.member, epoch });
    const key = shardKey(service, shard);
    const result = record ? await this.#kv.update(key, value, record.revision) : await this.#kv.create(key, value);
    if (result.kind !== "ok") return this.#refresh(shard);
    this.#learn(shard, { owner: board.member, epoch, revision: result.revision });
    if (this.#draining) return this.#free(shard, this.#records.get(shard)!);
    this.#held.set(shard, epoch);
    try {
      await this.#options.onAcquire(shard, epoch);
    } catch (error) {
      this.#options.log?.warn({ shard, error: errorLine(error) }, "shard could not be opened");
      await this.#release(shard, "handover");
    }
  }

  /** A conflict, or no answer: what stands there decides, not what was tried. */
  async #refresh(shard: number): Promise<void> {
    const stored = await this.#kv.get(shardKey(this.#options.service, shard)).catch(() => undefined);
    if (stored) this.#learn(shard, decodeShardRecord(stored.value, stored.revision));
  }

  async #release(shard: number, reason: ReleaseReason): Promise<void> {
    const epoch = this.#held.get(shard);
    if (epoch === undefined) return;
    await this.#options.onRelease(shard, epoch, reason);
    this.#held.delete(shard);
    const record = this.#records.get(shard);
    if (record && record.epoch === epoch) await this.#free(shard, record);
  }

  async #free(shard: number, record: StoredShard): Promise<void> {
    const value = encodeShardRecord({ owner: "", epoch: record.epoch });
    const result = await this.#kv.update(shardKey(this.#options.service, shard), value, record.revision);
    if (result.kind === "ok") this.#learn(shard, { owner: "", epoch: record.epoch, revision: result.revision });
    else await this.#refresh(shard);
  }

  #lose(shard: number): void {
    const epoch = this.#held.get(shard);
    if (epoch === undefined) return;
    this.#held.delete(shard);
    this.#run(shard, () => this.#options.onRelease(shard, epoch, "lost"));
  }

  /** Hands every shard over and claims none any more. */
  async drain(): Promise<void> {
    this.#draining = true;
    this.#options.board.setState("draining");
    if (this.#timer) clearInterval(this.#timer);
    if (this.#stepTimer) clearTimeout(this.#stepTimer);
    while (this.#busy.size > 0) await new Promise((resolve) => setTimeout(resolve, 5));
    await Promise.allSettled(this.owned().map((shard) => this.#release(shard, "drain")));
    this.stop();
  }

  /** Ends without handing anything over, as a crash would. */
  stop(): void {
    if (this.#timer) clearInterval(this.#timer);
    this.#timer = null;
    if (this.#stepTimer) clearTimeout(this.#stepTimer);
    this.#watch?.stop();
    for (const stop of this.#stopListening) stop();
  }
}
