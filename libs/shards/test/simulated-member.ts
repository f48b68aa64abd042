/** One process of the simulation: what the shells MemberBoard and ShardKeeper do, on simulated I/O. */
import { KeeperCore, type KeeperCommand } from "../src/keeper-core.ts";
import { Liveness } from "../src/liveness.ts";
import type { StoredShard } from "../src/shard-record.ts";
import { type Heartbeat, SHARDS, type Simulation, TIMES } from "./simulation.ts";

type Answer<T> = { readonly kind: "ok"; readonly value: T } | { readonly kind: "failed" };

export class SimulatedMember {
  readonly name: string;
  readonly core: KeeperCore;
  alive = true;
  paused = false;
  cut = false;
  draining = false;
  deafUntilMs = 0;
  /** In the world's time: since when nothing is wrong with it. */
  fineSinceMs: number;
  /** In the world's time: a reading that began before does not count. */
  #mustReadFromMs = 0;
  #readFromMs = -1;
  /** In the world's time: when the newest of its own heartbeats that came back was sent. */
  #ownSentMs = Number.NEGATIVE_INFINITY;
  #pausedAtMs = 0;
  readonly #world: Simulation;
  readonly #liveness: Liveness;
  readonly #states = new Map<string, string>();
  readonly #probing = new Set<string>();
  readonly #clockOffsetMs: number;
  readonly #clockRate: number;
  /** What reaches a stopped process waits in its sockets. */
  #held: (() => void)[] = [];
  #connected = true;
  /** The server has given the connection up: the interest is gone. */
  #forgotten = false;
  /** Fails what is under way when the connection is lost. */
  readonly #pending = new Set<() => void>();
  #reading = false;
  /** Joined: the records have been read once. */
  #ready = false;
  #readAtMs = Number.NEGATIVE_INFINITY;
  #completeAt = -1;
  #cutNumber = 0;

  constructor(world: Simulation, name: string) {
    this.#world = world;
    this.name = name;
    this.fineSinceMs = world.nowMs;
    this.#clockOffsetMs = world.between(0, 1_000_000);
    this.#clockRate = world.between(0.998, 1.002);
    this.#liveness = new Liveness(name, TIMES);
    this.core = new KeeperCore({ me: name, shards: SHARDS, selfMs: TIMES.selfMs, settleMs: TIMES.settleMs, freshMs: TIMES.freshMs }, this.#now());
  }

  /** Its own monotonic clock: nobody else's means anything to it. */
  #now(): number {
    return this.#clockOffsetMs + this.#world.nowMs * this.#clockRate;
  }

  /** Nobody has a reason to think it dead. */
  fineFrom(fromMs: number): boolean {
    return this.alive && !this.paused && !this.cut && this.#connected && this.fineSinceMs <= fromMs;
  }

  get busy(): boolean {
    return this.#pending.size > 0;
  }

  start(): void {
    this.#every(TIMES.heartbeatMs, () => this.#heartbeat());
    this.#every(TIMES.stepMs, () => this.#tick());
    this.#read();
  }

  #every(periodMs: number, run: () => void): void {
    const next = (): void => {
      if (!this.alive) return;
      this.receive(run);
      // an interval that came due several times while stopped fires once
      if (this.paused) this.#held.push(() => this.#world.at(periodMs, next));
      else this.#world.at(periodMs, next);
    };
    this.#world.at(this.#world.between(0, periodMs), next);
  }

  receive(run: () => void): void {
    if (!this.alive) return;
    if (this.paused) this.#held.push(run);
    else run();
  }

  mayServe(): boolean {
    return this.core.mayServe(this.#liveness.healthy(this.#now()), this.#now());
  }

  /** Why it must not serve, as the protocol says it, judged from outside. */
  get mustNotServe(): string | null {
    if (this.#world.nowMs - this.#ownSentMs > TIMES.selfMs * 1.01) return "without having heard itself";
    if (this.#readFromMs < this.#mustReadFromMs) return "without having read the records again";
    return null;
  }

  // heartbeats

  #heartbeat(): void {
    this.#beat(this.draining ? "draining" : this.#ready ? "ready" : "joining");
    for (const member of this.#liveness.judge(this.#now())) this.#states.delete(member);
    for (const member of this.#liveness.suspects(this.#now())) this.#probe(member);
  }

  #beat(state: Heartbeat["state"]): void {
    if (!this.cut && this.#connected) this.#world.broadcast({ member: this.name, state, sentAtMs: this.#now() });
  }

  heard({ member, state, sentAtMs }: Heartbeat): void {
    if (this.cut || !this.#connected) return;
    if (member === this.name) this.#ownSentMs = Math.max(this.#ownSentMs, (sentAtMs - this.#clockOffsetMs) / this.#clockRate);
    if (state === "left") {
      this.#liveness.bury(member);
      this.#states.delete(member);
    } else {
      this.#liveness.heard(member, sentAtMs, this.#now());
      this.#states.set(member, state);
    }
    this.#step();
  }

  #probe(member: string, attempt = 1): void {
    if (attempt === 1 && this.#probing.has(member)) return;
    this.#probing.add(member);
    this.#world.at(this.#world.delay(), () => {
      const target = this.#world.member(member);
      const nobodyThere = !target || !target.alive || target.#forgotten || !target.#connected;
      this.receive(() => {
        if (!nobodyThere || this.cut || !this.#connected) return void this.#probing.delete(member);
        if (attempt < 3) return this.#world.at(200, () => this.receive(() => this.#probe(member, attempt + 1)));
        this.#probing.delete(member);
        if (!this.#liveness.isSuspect(member, this.#now())) return;
        this.#liveness.bury(member);
        this.#states.delete(member);
        this.#step();
      });
    });
  }

  // the keeper's shell

  learn(shard: number, record: StoredShard | null): void {
    if (this.cut || !this.#connected) return;
    this.core.learn(shard, record);
    this.#step();
  }

  #tick(): void {
    this.#step();
    if (this.core.doubtful || this.#now() - this.#readAtMs >= TIMES.reconcileMs) this.#read();
  }

  #read(): void {
    if (this.#reading || !this.#connected) return;
    this.#reading = true;
    const reading = this.core.startReading(this.#now());
    const startedAtMs = this.#world.nowMs;
    const end = (complete: boolean): void => {
      this.#reading = false;
      if (complete) {
        this.#readAtMs = this.#now();
        this.core.endReading(reading, this.#readAtMs);
        this.#ready = true;
        this.#readFromMs = Math.max(this.#readFromMs, startedAtMs);
      }
      this.#step();
    };
    this.#request(
      () => this.#world.revision,
      (info) => {
        if (info.kind === "failed") return end(false);
        if (info.value === this.#completeAt) return end(true);
        const answers: Answer<StoredShard | null>[] = [];
        for (let shard = 0; shard < SHARDS; shard++) {
          this.#request(
            () => this.#world.records.get(shard) ?? null,
            (answer) => {
              answers[shard] = answer;
              if (answer.kind === "ok" && answer.value !== null) this.core.learn(shard, answer.value);
              if (Object.keys(answers).length < SHARDS) return;
              const complete = answers.every(({ kind }) => kind === "ok");
              if (complete) this.#completeAt = info.value;
              end(complete);
            },
          );
        }
      },
      TIMES.infoTimeoutMs,
    );
  }

  #step(): void {
    const ready = [...this.#states].flatMap(([member, state]) => (state === "ready" ? [member] : []));
    const view = { healthy: this.#liveness.healthy(this.#now()), ready, isAlive: (member: string) => this.#liveness.mayBeAlive(member, this.#now()) };
    this.#run(this.core.step(view, this.#now()));
    if (this.draining && this.core.drained) {
      this.#beat("left");
      this.crash();
    }
  }

  #run(commands: readonly KeeperCommand[]): void {
    for (const command of commands) {
      const { shard } = command;
      if (command.kind === "write") {
        const { owner, epoch } = command.record;
        const decidedAtMs = this.#world.nowMs;
        this.#request(
          () => {
            if (owner !== "") this.#world.checkClaim(this, shard, command.revision, decidedAtMs);
            return this.#world.compareAndSet(shard, owner, epoch, command.revision);
          },
          (answer) => {
            const outcome = answer.kind === "failed" ? ({ kind: "unknown" } as const) : answer.value === 0 ? ({ kind: "conflict" } as const) : ({ kind: "ok", revision: answer.value } as const);
            this.#run(this.core.written(shard, command.record, outcome, this.#now()));
            this.#step();
          },
        );
      } else if (command.kind === "read") {
        this.#request(
          () => this.#world.records.get(shard) ?? null,
          (answer) => {
            this.core.read(shard, answer.kind === "ok" ? answer.value : undefined, this.#now());
            this.#step();
          },
        );
      } else if (command.kind === "open") {
        this.#later(200, () => this.#run(this.core.opened(shard, !this.#world.chance(0.05), this.#now())));
      } else {
        this.#later(100, () => this.#run(this.core.closed(shard)));
      }
    }
  }

  #later(maxMs: number, run: () => void): void {
    const token = (): void => undefined;
    this.#pending.add(token);
    this.#world.at(this.#world.between(0, maxMs), () =>
      this.receive(() => {
        this.#pending.delete(token);
        run();
        this.#step();
      }),
    );
  }

  /** To the leader and back. What is sent into a cut arrives late or never; an answer may be lost. */
  #request<T>(atLeader: () => T, done: (answer: Answer<T>) => void, timeoutMs: number = TIMES.timeoutMs): void {
    const world = this.#world;
    let open = true;
    const finish = (answer: Answer<T>): void => {
      if (!open) return;
      open = false;
      this.#pending.delete(fail);
      done(answer);
    };
    const fail = (): void => finish({ kind: "failed" });
    this.#pending.add(fail);
    world.at(timeoutMs, () => this.receive(fail));
    if (!this.#connected) return world.at(0, () => this.receive(fail));
    const lost = this.cut && world.random() < 0.5;
    if (lost) return;
    world.at(world.delay() + (this.cut ? world.between(0, 8_000) : 0), () => {
      if (world.kvAwayUntilMs > world.nowMs) return world.at(world.delay(), () => this.receive(fail));
      const value = atLeader();
      if (world.chance(0.02)) return;
      world.at(world.delay(), () => {
        if (!this.cut && this.#connected) this.receive(() => finish({ kind: "ok", value }));
      });
    });
  }

  // faults

  crash(): void {
    this.alive = false;
    this.#held = [];
    this.#pending.clear();
  }

  drain(): void {
    if (this.draining) return;
    this.draining = true;
    this.receive(() => {
      this.core.drain();
      this.#beat("draining");
      this.#step();
    });
  }

  pause(forMs: number): void {
    if (this.paused) return;
    this.paused = true;
    this.#pausedAtMs = this.#world.nowMs;
    this.#world.at(forMs, () => this.#resume());
  }

  #resume(): void {
    if (!this.paused || !this.alive) return;
    this.paused = false;
    this.fineSinceMs = this.#world.nowMs;
    if (this.#world.nowMs - this.#pausedAtMs > TIMES.selfMs * 1.01) this.#mustReadFromMs = this.#world.nowMs;
    // the very first message it handles may be one for an owner
    this.#world.checkServing(this);
    const held = this.#held;
    this.#held = [];
    if (this.#world.random() < 0.5) held.reverse();
    for (const run of held) if (this.alive) run();
  }

  cutOff(forMs: number): void {
    if (this.cut) return;
    this.cut = true;
    const number = ++this.#cutNumber;
    const still = (): boolean => this.cut && number === this.#cutNumber;
    if (this.#world.random() < 0.6) this.#world.at(this.#world.between(0, 6_000), () => this.receive(() => still() && this.#disconnect()));
    if (this.#world.random() < 0.6) this.#world.at(this.#world.between(0, 6_000), () => (this.#forgotten ||= still()));
    this.#world.at(forMs, () => this.#reconnect());
  }

  #disconnect(): void {
    if (!this.#connected) return;
    this.#connected = false;
    this.#forgotten = true;
    this.#mustReadFromMs = Number.POSITIVE_INFINITY;
    this.core.doubt();
    for (const fail of [...this.#pending]) fail();
  }

  #reconnect(): void {
    if (!this.cut || !this.alive) return;
    this.cut = false;
    this.fineSinceMs = this.#world.nowMs;
    const again = (): void => {
      if (this.cut) return;
      // a server that has given the connection up resets it
      if (this.#forgotten) this.#disconnect();
      if (this.#connected) return;
      this.#connected = true;
      this.#forgotten = false;
      this.fineSinceMs = this.#mustReadFromMs = this.#world.nowMs;
      this.core.doubt();
      this.#read();
    };
    if (this.paused) this.#held.unshift(again);
    else again();
  }

  heal(): void {
    this.deafUntilMs = 0;
    this.#resume();
    this.#reconnect();
  }
}
