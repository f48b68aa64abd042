/**
 * A cluster of keepers in simulated time: the real KeeperCore, Liveness and placement over a
 * simulated KV and heartbeat bus. The same seed is the same run.
 *
 * Faults: crash and restart, drain, pauses, connections cut (noticed by the member, by the server, or
 * by neither), heartbeats lost, reordered, or muted from one member to another, deaf watches, an
 * absent KV leader, writes whose answer is lost, and refusals that are none (nats-server #7281).
 */
import { placeShards } from "../src/place-shards.ts";
import type { StoredShard } from "../src/shard-record.ts";
import { SimulatedMember } from "./simulated-member.ts";

export const TIMES = { heartbeatMs: 500, selfMs: 3_000, deadMs: 5_000, settleMs: 2_000, freshMs: 4_500, reconcileMs: 2_000, stepMs: 200, infoTimeoutMs: 2_000, timeoutMs: 5_000 } as const;
export const SHARDS = 16;
const MEMBERS = 4;
const MAX_DELAY_MS = 60;
/** After the last fault. One second more than it takes to find a member dead, and one for requests that were lost in a cut and time out late. */
const OWNED_WITHIN_MS = TIMES.deadMs + 2_000;
/** freshMs on a clock that may be slow; see KeeperCoreOptions. */
export const STALE_BOUND_MS = TIMES.freshMs * 1.01;

export interface Heartbeat {
  readonly member: string;
  readonly state: "joining" | "ready" | "draining" | "left";
  readonly sentAtMs: number;
}

export function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export class Simulation {
  nowMs = 0;
  readonly random: () => number;
  readonly records = new Map<number, StoredShard>();
  readonly ownerOfEpoch = new Map<string, string>();
  readonly since = new Map<string, number>();
  readonly members: SimulatedMember[] = [];
  readonly violations: string[] = [];
  readonly counts = { claims: 0, staleMs: 0, serving: 0, faults: 0 };
  revision = 0;
  kvAwayUntilMs = 0;
  faults = true;
  #order = 0;
  #born = 0;
  readonly #muted = new Map<string, number>();
  readonly #queue: { readonly atMs: number; readonly order: number; readonly run: () => void }[] = [];

  constructor(seed: number) {
    this.random = mulberry32(seed);
  }

  at(delayMs: number, run: () => void): void {
    const event = { atMs: this.nowMs + delayMs, order: this.#order++, run };
    let low = 0;
    let high = this.#queue.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const other = this.#queue[middle]!;
      if (other.atMs > event.atMs || (other.atMs === event.atMs && other.order > event.order)) low = middle + 1;
      else high = middle;
    }
    this.#queue.splice(low, 0, event);
  }

  chance(probability: number): boolean {
    return this.faults && this.random() < probability;
  }

  between(low: number, high: number): number {
    return low + this.random() * (high - low);
  }

  /** Mostly quick, sometimes not. */
  delay(): number {
    return this.random() < 0.9 ? this.between(0.2, 5) : this.between(5, MAX_DELAY_MS);
  }

  runUntil(atMs: number): void {
    while (this.#queue.length > 0 && this.#queue.at(-1)!.atMs <= atMs) {
      const event = this.#queue.pop()!;
      this.nowMs = event.atMs;
      event.run();
    }
    this.nowMs = atMs;
  }

  boot(): void {
    const member = new SimulatedMember(this, `m-${this.#born++}`);
    this.members.push(member);
    member.start();
  }

  get alive(): SimulatedMember[] {
    return this.members.filter((member) => member.alive);
  }

  member(name: string): SimulatedMember | undefined {
    return this.members.find((member) => member.name === name);
  }

  /** Core NATS: to everybody who is connected, also to the sender. */
  broadcast(heartbeat: Heartbeat): void {
    for (const receiver of this.alive) {
      if (this.chance(0.05) || (this.#muted.get(`${heartbeat.member}>${receiver.name}`) ?? 0) > this.nowMs) continue;
      this.at(this.delay(), () => receiver.receive(() => receiver.heard(heartbeat)));
    }
  }

  /** The leader: compare and set, then tell the watches. */
  compareAndSet(shard: number, owner: string, epoch: number, revision: number): number {
    const stored = this.records.get(shard);
    if ((stored?.revision ?? 0) !== revision || this.chance(0.01)) return 0;
    if (stored && (epoch < stored.epoch || (owner !== "" && epoch === stored.epoch))) this.violate(`shard ${shard}: epoch ${stored.epoch} -> ${epoch}`);
    if (owner !== "") {
      const before = this.ownerOfEpoch.get(`${shard}/${epoch}`);
      if (before !== undefined && before !== owner) this.violate(`shard ${shard}: epoch ${epoch} owned by ${before} and ${owner}`);
      this.ownerOfEpoch.set(`${shard}/${epoch}`, owner);
      this.since.set(`${shard}/${epoch}`, this.nowMs);
      this.counts.claims++;
    }
    const record = { owner, epoch, revision: ++this.revision };
    this.records.set(shard, record);
    for (const watcher of this.alive) {
      if (watcher.deafUntilMs <= this.nowMs && !watcher.cut) this.at(this.delay(), () => watcher.receive(() => watcher.learn(shard, record)));
    }
    return record.revision;
  }

  violate(text: string): void {
    this.violations.push(`${Math.round(this.nowMs)} ms: ${text}`);
  }

  /** Taking a shard from a member that nothing is wrong with, and that was heard or could have been asked, is a wrong judgement. */
  checkClaim(claimer: SimulatedMember, shard: number, revision: number, decidedAtMs: number): void {
    const stored = this.records.get(shard);
    if (stored?.revision !== revision || stored.owner === "" || stored.owner === claimer.name) return;
    const owner = this.member(stored.owner);
    const muted = (this.#muted.get(`${stored.owner}>${claimer.name}`) ?? Number.NEGATIVE_INFINITY) > decidedAtMs - TIMES.deadMs;
    if (!muted && owner?.fineFrom(decidedAtMs - TIMES.heartbeatMs * 8)) this.violate(`shard ${shard}: ${claimer.name} takes it from ${owner.name}, which is fine`);
  }

  /** What a member would answer now: an owner of an older epoch may do so only within the bound. */
  checkServing(member: SimulatedMember): void {
    if (!member.alive || member.paused || member.cut || !member.mayServe()) return;
    for (let shard = 0; shard < SHARDS; shard++) {
      const epoch = member.core.epochOf(shard);
      const stored = this.records.get(shard);
      if (epoch === 0 || !stored) continue;
      this.counts.serving++;
      if (member.mustNotServe !== null) this.violate(`shard ${shard}: ${member.name} serves ${member.mustNotServe}`);
      for (let newer = stored.epoch; newer > epoch; newer--) {
        const staleMs = this.nowMs - (this.since.get(`${shard}/${newer}`) ?? this.nowMs);
        this.counts.staleMs = Math.max(this.counts.staleMs, staleMs);
        if (staleMs > STALE_BOUND_MS) this.violate(`shard ${shard}: ${member.name} serves epoch ${epoch} ${Math.round(staleMs)} ms after epoch ${newer} began`);
      }
    }
  }

  #bootLater(): void {
    this.at(this.between(100, 8_000), () => this.faults && this.alive.length < MEMBERS && this.boot());
  }

  #injectFault(): void {
    if (!this.faults) return;
    this.at(this.between(300, 3_000), () => this.#injectFault());
    const alive = this.alive;
    const victim = alive[Math.floor(this.random() * alive.length)];
    if (!victim) return this.boot();
    this.counts.faults++;
    const kind = this.random();
    if (kind < 0.15) {
      victim.crash();
      this.#bootLater();
    } else if (kind < 0.25) {
      victim.drain();
      this.#bootLater();
    } else if (kind < 0.45) victim.pause(this.between(50, 12_000));
    else if (kind < 0.7) victim.cutOff(this.between(50, 12_000));
    else if (kind < 0.8) {
      const other = alive[Math.floor(this.random() * alive.length)]!;
      if (other !== victim) this.#muted.set(`${victim.name}>${other.name}`, this.nowMs + this.between(1_000, 9_000));
    } else if (kind < 0.95) victim.deafUntilMs = this.nowMs + this.between(1_000, 20_000);
    else this.kvAwayUntilMs = this.nowMs + this.between(500, 5_000);
  }

  /** @returns violations; none is a good run */
  run(faultsForMs: number): readonly string[] {
    for (let count = 0; count < MEMBERS; count++) this.at(this.between(0, 2_000), () => this.boot());
    this.at(3_000, () => this.#injectFault());
    const sample = (): void => {
      for (const member of this.alive) this.checkServing(member);
      this.at(this.between(20, 120), sample);
    };
    sample();
    this.runUntil(faultsForMs);
    this.#heal();
    this.runUntil(faultsForMs + OWNED_WITHIN_MS);
    this.#checkOwned();
    this.runUntil(this.nowMs + TIMES.deadMs + TIMES.settleMs + 4_000);
    this.#checkBalanced();
    return this.violations;
  }

  #heal(): void {
    this.faults = false;
    this.kvAwayUntilMs = 0;
    for (const [pair, untilMs] of this.#muted) this.#muted.set(pair, Math.min(untilMs, this.nowMs));
    for (const member of this.alive) member.heal();
    while (this.alive.filter((member) => !member.draining).length < 2) this.boot();
  }

  #checkOwned(): void {
    for (let shard = 0; shard < SHARDS; shard++) {
      const record = this.records.get(shard);
      const owner = record && this.member(record.owner);
      if (owner?.alive && owner.mayServe() && owner.core.epochOf(shard) === record!.epoch) continue;
      // a shard that is on its way from one live member to another is not lost
      if (record?.owner === "" || (owner?.alive && owner.busy)) this.at(500, () => this.#checkStillOwned(shard));
      else this.violate(`shard ${shard}: no owner ${OWNED_WITHIN_MS} ms after the last fault: ${JSON.stringify(record)}`);
    }
  }

  #checkStillOwned(shard: number): void {
    const record = this.records.get(shard);
    if (!record || !this.member(record.owner)?.alive) this.violate(`shard ${shard}: still no owner: ${JSON.stringify(record)}`);
  }

  #checkBalanced(): void {
    const members = this.alive.flatMap(({ name, draining }) => (draining ? [] : [name]));
    const placement = placeShards(SHARDS, members);
    for (let shard = 0; shard < SHARDS; shard++) {
      const record = this.records.get(shard);
      if (record?.owner !== placement[shard]) this.violate(`shard ${shard}: ${record?.owner || "nobody"} has it, ${placement[shard]} should`);
      else if (this.member(record!.owner)!.core.epochOf(shard) !== record!.epoch) this.violate(`shard ${shard}: ${record!.owner} does not know that it has it`);
    }
  }
}
