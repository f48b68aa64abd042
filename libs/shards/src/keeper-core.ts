/**
 * The keeper without its I/O: what is known about each shard, what is under way, and what to do
 * next. Deterministic, with the time given, so that a simulation can drive thousands of runs of it.
 * Every method that decides something returns commands; the shell carries them out and reports back
 * with the method named in the command. README.md is the protocol.
 */
import { decideShard } from "./decide-shard.ts";
import { placeShards } from "./place-shards.ts";
import type { ShardRecord, StoredShard } from "./shard-record.ts";

export type ReleaseReason = "handover" | "drain" | "lost";

export type KeeperCommand =
  /** Compare-and-set of the record, then `written`. */
  | { readonly kind: "write"; readonly shard: number; readonly record: ShardRecord; readonly revision: number }
  /** Read the record from the leader, then `read`. */
  | { readonly kind: "read"; readonly shard: number }
  /** Then `opened`. */
  | { readonly kind: "open"; readonly shard: number; readonly epoch: number }
  /** Then `closed`. */
  | { readonly kind: "close"; readonly shard: number; readonly epoch: number; readonly reason: ReleaseReason };

/** What the keeper sees of the other members. */
export interface KeeperView {
  readonly healthy: boolean;
  /** Ready members of the service, this one included when it is. */
  readonly ready: readonly string[];
  isAlive(member: string): boolean;
}

export interface KeeperCoreOptions {
  readonly me: string;
  readonly shards: number;
  readonly selfMs: number;
  readonly settleMs: number;
  /**
   * Serving needs a reading of the records that began less than this ago. Whoever claims a shard of
   * mine shows in every reading that begins later: I am a stale owner for at most this long, even
   * with a deaf watch and no leader to ask. Infinity: only a doubt asks for a reading.
   */
  readonly freshMs: number;
}

export type WriteOutcome = { readonly kind: "ok"; readonly revision: number } | { readonly kind: "conflict" | "unknown" };

/** One token per reading of all records: it proves nothing when something has happened meanwhile. */
export interface Reading {
  readonly doubt: number;
  readonly startedAtMs: number;
}

/** idle | a record being written | an outcome to be found out | being found out | onAcquire | onRelease */
type Phase = "idle" | "writing" | "unread" | "reading" | "opening" | "closing";

interface Slot {
  record: StoredShard | null;
  /** Highest epoch ever seen: a bucket that was lost must not start again at 1. */
  maxEpoch: number;
  /** Epoch under which it is mine, 0 = it is not. */
  held: number;
  phase: Phase;
  moving: boolean;
  notBeforeMs: number;
}

/** Running shards handed over at the same time. */
const MAX_HANDOVERS = 8;
const READ_RETRY_MS = 200;
const OPEN_RETRY_MS = 1_000;

export class KeeperCore {
  readonly #options: KeeperCoreOptions;
  readonly #slots: Slot[];
  #doubt = 1;
  #cleared = 0;
  #readAtMs = Number.NEGATIVE_INFINITY;
  #aliveAtMs: number;
  #membership: string | null = null;
  #membershipSinceMs = 0;
  #placement: readonly string[] = [];
  #draining = false;

  constructor(options: KeeperCoreOptions, nowMs: number) {
    this.#options = options;
    this.#aliveAtMs = nowMs;
    this.#slots = Array.from({ length: options.shards }, () => ({ record: null, maxEpoch: 0, held: 0, phase: "idle", moving: false, notBeforeMs: 0 }));
  }

  /** 0 = not mine, or no longer as far as is known. */
  epochOf(shard: number): number {
    const slot = this.#slots[shard];
    return slot !== undefined && slot.held > 0 && this.#holds(slot) ? slot.held : 0;
  }

  owned(): number[] {
    return this.#slots.flatMap((slot, shard) => (slot.held > 0 ? [shard] : []));
  }

  get covered(): boolean {
    return this.#slots.every(({ record }) => record !== null && record.owner !== "");
  }

  /** Something may have happened unseen (a lost connection): not serving until a reading that starts later has ended. */
  doubt(): void {
    this.#doubt++;
  }

  get doubtful(): boolean {
    return this.#cleared !== this.#doubt;
  }

  mayServe(healthy: boolean, nowMs: number): boolean {
    if (nowMs - this.#aliveAtMs > this.#options.selfMs) {
      this.doubt();
      this.#aliveAtMs = nowMs;
    }
    return healthy && this.#cleared === this.#doubt && nowMs - this.#readAtMs <= this.#options.freshMs;
  }

  startReading(nowMs: number): Reading {
    return { doubt: this.#doubt, startedAtMs: nowMs };
  }

  /** Every record that has changed was told by `learn`, as the leader has it. */
  endReading(reading: Reading, nowMs: number): void {
    this.#readAtMs = Math.max(this.#readAtMs, reading.startedAtMs);
    if (reading.doubt === this.#doubt && nowMs - reading.startedAtMs < this.#options.selfMs) this.#cleared = reading.doubt;
  }

  /** @param record null: there is none any more */
  learn(shard: number, record: StoredShard | null): void {
    const slot = this.#slots[shard];
    if (slot === undefined || (record !== null && slot.record !== null && record.revision <= slot.record.revision)) return;
    slot.record = record;
    if (record !== null) slot.maxEpoch = Math.max(slot.maxEpoch, record.epoch);
  }

  /** To be called regularly (the gaps between calls show a pause), and after every change. */
  step(view: KeeperView, nowMs: number): KeeperCommand[] {
    const serving = this.mayServe(view.healthy, nowMs);
    this.#aliveAtMs = nowMs;
    this.#place(view.ready, nowMs);
    const settled = nowMs - this.#membershipSinceMs >= this.#options.settleMs;
    let handovers = this.#slots.reduce((sum, slot) => sum + (slot.moving ? 1 : 0), 0);
    const commands: KeeperCommand[] = [];
    for (let shard = 0; shard < this.#slots.length; shard++) {
      const slot = this.#slots[shard]!;
      if (slot.phase === "unread" && nowMs >= slot.notBeforeMs) {
        slot.phase = "reading";
        commands.push({ kind: "read", shard });
      }
      if (slot.phase !== "idle") continue;
      const wanted = !this.#draining && this.#placement[shard] === this.#options.me;
      const record = slot.record;
      const decision = decideShard({
        me: this.#options.me,
        record,
        held: slot.held,
        wanted,
        // asked about every owner, wanted or not: who is never heard is found dead the sooner
        ownerAlive: record !== null && record.owner !== "" && view.isAlive(record.owner),
        settled: settled || this.#draining,
      });
      if (decision === "nothing") continue;
      if (decision === "lost") commands.push(this.#close(shard, slot, "lost"));
      else if (this.#draining) {
        if (decision === "hand-over") commands.push(this.#close(shard, slot, "drain"));
        else if (decision === "free") commands.push(this.#free(shard, slot));
      } else if (!serving || nowMs < slot.notBeforeMs) continue;
      else if (decision === "claim") commands.push(this.#claim(shard, slot));
      else if (decision === "free") commands.push(this.#free(shard, slot));
      else if (handovers < MAX_HANDOVERS) {
        handovers++;
        slot.moving = true;
        commands.push(this.#close(shard, slot, "handover"));
      }
    }
    return commands;
  }

  /** Nothing is known of an unknown outcome until the record has been read: it may be mine. */
  written(shard: number, record: ShardRecord, outcome: WriteOutcome, nowMs: number): KeeperCommand[] {
    const slot = this.#slots[shard]!;
    slot.moving = false;
    if (outcome.kind !== "ok") {
      slot.phase = "reading";
      return [{ kind: "read", shard }];
    }
    slot.phase = "idle";
    this.learn(shard, { ...record, revision: outcome.revision });
    // what the answer says may be overtaken by what the watch has said already
    if (record.owner !== this.#options.me || slot.record?.epoch !== record.epoch || !this.#holdsRecord(slot)) return [];
    if (this.#draining) return [this.#free(shard, slot)];
    slot.held = record.epoch;
    slot.phase = "opening";
    slot.notBeforeMs = nowMs;
    return [{ kind: "open", shard, epoch: record.epoch }];
  }

  /** @param record undefined: it could not be read */
  read(shard: number, record: StoredShard | null | undefined, nowMs: number): void {
    const slot = this.#slots[shard]!;
    if (record === undefined) {
      slot.phase = "unread";
      slot.notBeforeMs = nowMs + READ_RETRY_MS;
      return;
    }
    slot.phase = "idle";
    slot.notBeforeMs = nowMs;
    this.learn(shard, record);
  }

  /** A shard that could not be opened is given back, and tried again after a second. */
  opened(shard: number, ok: boolean, nowMs: number): KeeperCommand[] {
    const slot = this.#slots[shard]!;
    slot.phase = "idle";
    if (ok) return [];
    slot.notBeforeMs = nowMs + OPEN_RETRY_MS;
    return [this.#close(shard, slot, "handover")];
  }

  closed(shard: number): KeeperCommand[] {
    const slot = this.#slots[shard]!;
    const mine = this.#holds(slot);
    slot.held = 0;
    slot.phase = "idle";
    if (mine) return [this.#free(shard, slot)];
    slot.moving = false;
    return [];
  }

  /** From now on `step` gives everything back and takes nothing. */
  drain(): void {
    this.#draining = true;
  }

  get drained(): boolean {
    return this.#draining && this.#slots.every((slot) => slot.held === 0 && slot.phase === "idle" && !this.#holdsRecord(slot));
  }

  #holds(slot: Slot): boolean {
    return this.#holdsRecord(slot) && slot.record!.epoch === slot.held;
  }

  #holdsRecord(slot: Slot): boolean {
    return slot.record !== null && slot.record.owner === this.#options.me;
  }

  #place(ready: readonly string[], nowMs: number): void {
    const membership = [...ready].sort().join(" ");
    if (membership === this.#membership) return;
    this.#membership = membership;
    this.#membershipSinceMs = nowMs;
    this.#placement = placeShards(this.#options.shards, ready);
  }

  #claim(shard: number, slot: Slot): KeeperCommand {
    slot.phase = "writing";
    const epoch = Math.max(slot.record?.epoch ?? 0, slot.maxEpoch) + 1;
    return { kind: "write", shard, record: { owner: this.#options.me, epoch }, revision: slot.record?.revision ?? 0 };
  }

  #free(shard: number, slot: Slot): KeeperCommand {
    slot.phase = "writing";
    return { kind: "write", shard, record: { owner: "", epoch: slot.record!.epoch }, revision: slot.record!.revision };
  }

  #close(shard: number, slot: Slot, reason: ReleaseReason): KeeperCommand {
    slot.phase = "closing";
    const epoch = slot.held;
    // a lost shard is nobody's business any more; one that is handed over is served until it is closed
    if (reason === "lost") slot.held = 0;
    return { kind: "close", shard, epoch, reason };
  }
}
