/**
 * Owning shards: the shell around KeeperCore. It listens to records, members and the connection,
 * steps the core after every change and at least five times a second, and carries out what it says.
 */
import type { Bus } from "@hawser/bus";
import { errorLine } from "@hawser/errors";
import { KeeperCore, type KeeperCommand, type KeeperView, type ReleaseReason } from "./keeper-core.ts";
import type { MemberBoard } from "./member-board.ts";
import { ShardRecords } from "./shard-records.ts";

export type { ReleaseReason } from "./keeper-core.ts";

export interface ShardKeeperOptions {
  readonly bus: Bus;
  readonly board: MemberBoard;
  readonly service: string;
  readonly shards: number;
  /** How often the leader is asked whether the watch has missed something. */
  readonly reconcileMs: number;
  /** A pause longer than this stops serving until the records have been read. Default 3 s. */
  readonly selfMs?: number;
  /** How long the membership must be unchanged before a running shard is moved. Default 2 s. */
  readonly settleMs?: number;
  readonly replicas?: number;
  /**
   * Serving needs an answer of the records' leader not older than this. Default: 5 s on replicated
   * NATS, where a leader can be away while the connection stands; none on a single server.
   */
  readonly freshMs?: number;
  /** The shard is mine under this epoch: subscribe its subject, load what must be loaded. */
  readonly onAcquire: (shard: number, epoch: number) => Promise<void>;
  /** Finish what is in hand (not when lost), write what must be written, forget the shard. */
  readonly onRelease: (shard: number, epoch: number, reason: ReleaseReason) => Promise<void>;
  readonly log?: { warn(fields: object, text: string): void };
}

const SETTLE_MS = 2_000;
const SELF_MS = 3_000;
const REPLICATED_FRESH_MS = 5_000;
const STEP_MS = 200;
const DRAIN_TIMEOUT_MS = 10_000;

export class ShardKeeper {
  readonly #options: ShardKeeperOptions;
  readonly #core: KeeperCore;
  readonly #records: ShardRecords;
  readonly #view: KeeperView;
  readonly #stopListening: (() => void)[] = [];
  #timer: NodeJS.Timeout | null = null;
  #stepScheduled = false;
  #reconciling = false;
  #reconciledAtMs = Number.NEGATIVE_INFINITY;
  #drained: (() => void) | null = null;
  #draining: Promise<void> | null = null;

  constructor(options: ShardKeeperOptions) {
    this.#options = options;
    const { bus, board, service, shards, selfMs = SELF_MS, settleMs = SETTLE_MS, replicas = 1 } = options;
    const freshMs = options.freshMs ?? (replicas > 1 ? REPLICATED_FRESH_MS : Number.POSITIVE_INFINITY);
    this.#core = new KeeperCore({ me: board.member, shards, selfMs, settleMs, freshMs }, performance.now());
    this.#records = new ShardRecords({
      bus,
      service,
      replicas,
      onRecord: (shard, record) => {
        this.#core.learn(shard, record);
        this.#stepSoon();
      },
    });
    this.#view = {
      get healthy() {
        return board.healthy();
      },
      get ready() {
        return board.members(service).flatMap(({ member, state }) => (state === "ready" ? [member] : []));
      },
      isAlive: (member) => board.isAlive(member),
    };
  }

  /** Begins to claim as soon as this member is ready. @throws when NATS is away */
  async start(): Promise<void> {
    const { bus, board, selfMs = SELF_MS } = this.#options;
    this.#stopListening.push(
      board.onChange(() => this.#stepSoon()),
      bus.onStatus((connected) => {
        this.#core.doubt();
        if (connected) void this.#reconcile();
      }),
    );
    await this.#records.start();
    this.#timer = setInterval(() => this.#tick(), Math.min(STEP_MS, selfMs / 4));
    await this.#reconcile();
  }

  /** 0 = not mine. */
  epochOf(shard: number): number {
    return this.#core.epochOf(shard);
  }

  owned(): number[] {
    return this.#core.owned();
  }

  /** Whether every shard has an owner as far as this process knows. */
  get covered(): boolean {
    return this.#core.covered;
  }

  /**
   * Whether an owner may act: it has heard itself lately, and since the last disconnect or pause it
   * has read its shard records from the leader.
   */
  mayServe(): boolean {
    return this.#timer !== null && this.#core.mayServe(this.#options.board.healthy(), performance.now());
  }

  /** Somebody else has written what only an owner may write: do not serve before the records have been read. */
  doubt(): void {
    this.#core.doubt();
    void this.#reconcile();
  }

  #tick(): void {
    this.#step();
    if (this.#core.doubtful || performance.now() - this.#reconciledAtMs >= this.#options.reconcileMs) void this.#reconcile();
  }

  async #reconcile(): Promise<void> {
    if (this.#reconciling || this.#timer === null || !this.#options.bus.connected) return;
    this.#reconciling = true;
    const reading = this.#core.startReading(performance.now());
    try {
      await this.#records.reconcile();
      this.#reconciledAtMs = performance.now();
      this.#core.endReading(reading, this.#reconciledAtMs);
    } catch {
      // NATS is away or electing: the next tick tries again
    } finally {
      this.#reconciling = false;
    }
    this.#step();
  }

  #stepSoon(): void {
    if (this.#stepScheduled) return;
    this.#stepScheduled = true;
    setImmediate(() => {
      this.#stepScheduled = false;
      this.#step();
    });
  }

  #step(): void {
    if (this.#timer === null) return;
    this.#carryOut(this.#core.step(this.#view, performance.now()));
    if (this.#drained !== null && this.#core.drained) this.#drained();
  }

  #carryOut(commands: readonly KeeperCommand[]): void {
    for (const command of commands) void this.#run(command);
  }

  /** Never rejects. */
  async #run(command: KeeperCommand): Promise<void> {
    const { shard } = command;
    switch (command.kind) {
      case "write": {
        const outcome = await this.#records.write(shard, command.record, command.revision);
        this.#carryOut(this.#core.written(shard, command.record, outcome, performance.now()));
        break;
      }
      case "read":
        this.#core.read(shard, await this.#records.read(shard).catch(() => undefined), performance.now());
        break;
      case "open": {
        const ok = await this.#call(shard, "opened", () => this.#options.onAcquire(shard, command.epoch));
        this.#carryOut(this.#core.opened(shard, ok, performance.now()));
        break;
      }
      case "close":
        await this.#call(shard, "closed", () => this.#options.onRelease(shard, command.epoch, command.reason));
        this.#carryOut(this.#core.closed(shard));
    }
    this.#stepSoon();
  }

  async #call(shard: number, what: string, callback: () => Promise<void>): Promise<boolean> {
    try {
      await callback();
      return true;
    } catch (error) {
      this.#options.log?.warn({ service: this.#options.service, shard, error: errorLine(error) }, `a shard could not be ${what}`);
      return false;
    }
  }

  /**
   * Hands every shard over, claims none any more, and stops. Gives up when NATS is away.
   * @param withinMs gives up after this, default 10 s
   */
  drain(withinMs = DRAIN_TIMEOUT_MS): Promise<void> {
    return (this.#draining ??= this.#drain(withinMs));
  }

  async #drain(withinMs: number): Promise<void> {
    const { board, bus } = this.#options;
    if (this.#timer === null) return;
    this.#core.drain();
    board.setState("draining");
    await new Promise<void>((resolve) => {
      const end = (): void => {
        clearTimeout(deadline);
        clearInterval(away);
        resolve();
      };
      const deadline = setTimeout(end, withinMs);
      const away = setInterval(() => !bus.connected && this.owned().length === 0 && end(), STEP_MS);
      this.#drained = end;
      this.#step();
    });
    this.#drained = null;
    this.stop();
  }

  /** Ends without handing anything over, as a crash would. */
  stop(): void {
    if (this.#timer) clearInterval(this.#timer);
    this.#timer = null;
    this.#records.stop();
    for (const stop of this.#stopListening) stop();
  }
}
