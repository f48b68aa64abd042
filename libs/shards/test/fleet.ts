import { Bus } from "@hawser/bus";
import { encodeAnswer, subjects } from "@hawser/wire";
import { MemberBoard, ShardKeeper, type ReleaseReason } from "../src/index.ts";

export const SHARDS = 64;
export const SERVICE = "session";
export const TIMES = { heartbeatMs: 100, selfMs: 600, deadMs: 1_000 } as const;
export const SETTLE_MS = 300;

/** Waits for a condition; what it waited for is in the error. */
export async function until(what: string, condition: () => boolean, withinMs = 8_000): Promise<number> {
  const startedAt = performance.now();
  while (!condition()) {
    if (performance.now() - startedAt > withinMs) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return performance.now() - startedAt;
}

/** A process of a service: its own connection, board and keeper; owners answer with their name and epoch. */
export class Peer {
  readonly bus: Bus;
  readonly board: MemberBoard;
  readonly keeper: ShardKeeper;
  readonly events: string[] = [];
  readonly released: { shard: number; epoch: number; reason: ReleaseReason }[] = [];
  readonly #subscriptions = new Map<number, { unsubscribe(): void; drain(): Promise<void> }>();
  failOpening = new Set<number>();
  neverCloses = false;
  answers = true;
  readonly heard: string[] = [];

  private constructor(bus: Bus, name: string) {
    this.bus = bus;
    this.board = new MemberBoard({ bus, member: name, service: SERVICE, ...TIMES });
    this.keeper = new ShardKeeper({
      bus,
      board: this.board,
      service: SERVICE,
      shards: SHARDS,
      reconcileMs: 300,
      selfMs: TIMES.selfMs,
      settleMs: SETTLE_MS,
      onAcquire: async (shard, epoch) => {
        this.events.push(`acquire ${shard} ${epoch}`);
        if (this.failOpening.delete(shard)) throw new Error("its records cannot be read");
        const subscription = bus.subscribe(subjects.sessionOwner(shard, epoch), (message) => {
          this.heard.push(message.data.toString());
          if (!this.answers) return;
          const mine = this.keeper.epochOf(shard) === epoch && this.keeper.mayServe();
          if (mine) message.respond(encodeAnswer({ ok: true, owner: name, epoch, said: message.data.toString() } as never));
          else message.respond(encodeAnswer({ ok: false, code: "fenced", reason: "not the owner" }));
        });
        this.#subscriptions.set(shard, subscription);
      },
      onRelease: async (shard, epoch, reason) => {
        this.released.push({ shard, epoch, reason });
        if (this.neverCloses) await new Promise(() => undefined);
        await this.#subscriptions.get(shard)?.drain();
        this.#subscriptions.delete(shard);
      },
    });
  }

  static async start(url: string, name: string, state: "joining" | "ready" = "ready"): Promise<Peer> {
    const peer = new Peer(await Bus.connect({ url, name }), name);
    peer.board.start();
    await peer.keeper.start();
    peer.board.setState(state);
    return peer;
  }

  get epochs(): number[] {
    return Array.from({ length: SHARDS }, (_, shard) => this.keeper.epochOf(shard));
  }

  /** As SIGKILL does: the connection is gone, nobody is told anything. */
  async kill(): Promise<void> {
    await this.bus.nc.close();
    this.board.stop();
    this.keeper.stop();
  }

  /** As SIGTERM does. */
  async leave(): Promise<void> {
    await this.keeper.drain();
    this.board.stop();
    await this.bus.close();
  }
}

/** How many of the shards these own together; -1 when one has two owners. */
export function ownedBy(...peers: readonly Peer[]): number {
  const owned = peers.flatMap((peer) => peer.keeper.owned());
  return new Set(owned).size === owned.length ? owned.length : -1;
}
