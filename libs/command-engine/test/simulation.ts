/**
 * A discrete-event model of one gateway's life: the real machine of the actor and the real machine
 * of the gateway SDK, with records and journal as the only things that survive, between them a
 * network that loses, doubles and delays, and both ends crash at any step.
 */
import { CommandFailed, GatewayMachine, type GatewayInput, type GatewayOutput, type JournalEntry, JournalState } from "@hawser/gateway-sdk";
import { commandError, defineMethod, type DownlinkMessage, type Lane, type Method, newUuidV7, type ReplyMode, type UplinkMessage } from "@hawser/csg-protocol";
import { z } from "zod";
import { receive } from "../src/command-machine.ts";
import { createGateway, type GatewayState } from "../src/gateway-state.ts";
import type { CommandRequest, DownlinkOutcome, GatewayEffect, GatewayMessage, Reply } from "../src/machine-messages.ts";
import type { MachineSettings } from "../src/machine-settings.ts";

export interface SimulationOptions {
  readonly seed: number;
  readonly commands: number;
  /** Share of messages lost, doubled. */
  readonly loss: number;
  readonly duplicates: number;
  /** Mean time between crashes, ms. */
  readonly actorCrashEveryMs: number;
  readonly deviceCrashEveryMs: number;
  readonly trace?: (line: string) => void;
}

export interface Submitted {
  readonly request: CommandRequest;
  runs: number;
  readonly finals: Reply[];
}

const KEY = { instance: "default", clientId: "GID_gateway@@@gw-1" };
const CHAOS_MS = 300_000;
/** Longer than any window of the machines. */
const HORIZON_MS = 9 * 24 * 3_600_000;

const methods: Record<string, Method> = Object.fromEntries(
  (
    [
      ["sim.read", "query", true],
      ["sim.change", "config", false],
      ["sim.work", "task", false],
      ["sim.redo", "task", true],
    ] as const
  ).map(([name, lane, idempotent]) => [
    name,
    defineMethod({ name, lane, idempotent, params: z.strictObject({ n: z.number() }), mutexKey: ({ n }) => `k${n % 3}` }) as unknown as Method,
  ]),
);

export class Simulation {
  readonly submitted = new Map<string, Submitted>();
  readonly records = new Map<string, Buffer>();
  crashes = { actor: 0, device: 0 };
  state: GatewayState;
  readonly #options: SimulationOptions;
  readonly #settings: MachineSettings;
  #now = 1_800_000_000_000;
  readonly #startedAt = this.#now;
  #order = 0;
  #events: { at: number; order: number; run: () => void }[] = [];
  #chaos = true;
  // actor
  #actorEpoch = 1;
  #mailbox: GatewayMessage[] = [];
  #committing = false;
  #tickAt = Number.POSITIVE_INFINITY;
  // device
  #deviceEpoch = 1;
  #journal: JournalEntry[] = [{ t: "install", id: "install-1" }];
  #machine: GatewayMachine | null = null;
  #connection = 0;
  #connections = 0;
  #presenceCounter = 0;
  readonly #clockSkewMs: number;

  constructor(options: SimulationOptions) {
    this.#options = options;
    this.#random = mulberry32(options.seed);
    this.#clockSkewMs = Math.round((this.#random() - 0.5) * 100_000);
    this.#settings = {
      deliveryTimeoutMs: 10_000,
      deliveryAttempts: 3,
      acceptTimeoutMs: 10_000,
      resendMinMs: 2_000,
      resendMaxMs: 30_000,
      stepTimeoutMs: 60_000,
      inDoubtGraceMs: 5_000,
      reconcileWindowMs: 7 * 24 * 3_600_000,
      presenceGraceMs: 10_000,
      retentionMs: 30 * 24 * 3_600_000,
      maxQueued: 1_000,
      queryLane: 4,
      taskLane: 2,
      ackDelayMs: 100,
      helloWaitMs: 5_000,
      random: this.#random,
    };
    this.state = createGateway(KEY, []);
  }
  readonly #random: () => number;

  run(): void {
    this.#startDevice();
    this.#tell({ kind: "presence", event: this.#presence("connect", "c0"), answerTo: 0 });
    for (let n = 0; n < this.#options.commands; n++) this.#at(this.#random() * CHAOS_MS, () => this.#submit(n));
    this.#schedule(() => this.#crashActor(), this.#options.actorCrashEveryMs);
    this.#schedule(() => this.#crashDevice(), this.#options.deviceCrashEveryMs);
    this.#at(CHAOS_MS, () => (this.#chaos = false));
    this.#deviceTick();
    const end = this.#now + HORIZON_MS;
    for (;;) {
      const event = this.#events.shift();
      if (!event || event.at > end) break;
      this.#now = Math.max(this.#now, event.at);
      event.run();
      if (!this.#chaos && this.#now > this.#startedAt + CHAOS_MS + 600_000 && this.#quiet()) break;
    }
  }

  #quiet(): boolean {
    return this.state.queued.length === 0 && this.state.active.size === 0 && this.state.owed.size === 0 && this.#mailbox.length === 0 && !this.#committing;
  }

  #log(line: string): void {
    this.#options.trace?.(`${((this.#now - this.#startedAt) / 1000).toFixed(3)} ${line}`);
  }

  #at(delayMs: number, run: () => void): void {
    const event = { at: this.#now + Math.max(0, delayMs), order: this.#order++, run };
    let low = 0;
    let high = this.#events.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const other = this.#events[middle]!;
      if (other.at < event.at || (other.at === event.at && other.order < event.order)) low = middle + 1;
      else high = middle;
    }
    this.#events.splice(low, 0, event);
  }

  #schedule(run: () => void, everyMs: number): void {
    if (!Number.isFinite(everyMs)) return;
    this.#at(-Math.log(1 - this.#random()) * everyMs, () => {
      if (!this.#chaos) return;
      run();
      this.#schedule(run, everyMs);
    });
  }

  #chance(probability: number): boolean {
    return this.#chaos && this.#random() < probability;
  }

  // ---- who commands

  #submit(n: number): void {
    const name = pick(this.#random, Object.keys(methods));
    const method = methods[name]!;
    const id = newUuidV7(this.#now, Buffer.from(Array.from({ length: 10 }, () => Math.floor(this.#random() * 256))));
    const request: CommandRequest = {
      id,
      method: name,
      params: { n },
      bodyHash: `${n}`,
      lane: method.lane as Lane,
      mutexKey: `k${n % 3}`,
      reply: pick(this.#random, ["final", "progress", "progress", "none"] as ReplyMode[]),
      replyTopic: "csg-cmd-reply",
      echo: [],
      principal: "",
      traceparent: "",
      bornAt: this.#now,
      queueTtlMs: pick(this.#random, [0, 5_000, 60_000, 86_400_000, 86_400_000]),
      execMs: pick(this.#random, [4_000, 30_000]),
    };
    this.submitted.set(id, { request, runs: 0, finals: [] });
    this.#deliverSubmit(request, 0);
    if (this.#chance(0.1)) this.#at(this.#random() * 20_000, () => this.#tell({ kind: "submit", request, answerTo: 0 }));
    if (this.#chance(0.05)) this.#at(this.#random() * 20_000, () => this.#tell({ kind: "submit", request: { ...request, bodyHash: "other", params: { n: -1 } }, answerTo: 0 }));
    if (this.#chance(0.1)) this.#at(this.#random() * 10_000, () => this.#tell({ kind: "cancel", id, answerTo: 0 }));
  }

  /** As the router does: again until it is answered. */
  #deliverSubmit(request: CommandRequest, attempt: number): void {
    if (this.records.has(request.id)) return;
    this.#tell({ kind: "submit", request, answerTo: 1 });
    if (attempt < 50) this.#at(2_000, () => this.#deliverSubmit(request, attempt + 1));
  }

  // ---- the actor and its host

  #tell(message: GatewayMessage): void {
    if (this.#actorEpoch < 0) return;
    this.#mailbox.push(message);
    this.#turn();
  }

  #turn(): void {
    if (this.#committing) return;
    const message = this.#mailbox.shift();
    if (!message) return;
    const { writes, effects } = receive(this.state, message, this.#now, this.#settings);
    const epoch = this.#actorEpoch;
    const commit = (): void => {
      for (const { suffix, value } of writes) {
        if (value) this.records.set(suffix, value);
        else this.records.delete(suffix);
      }
    };
    this.#armTick();
    if (writes.length === 0) {
      for (const effect of effects) this.#effect(effect);
      this.#turn();
      return;
    }
    this.#committing = true;
    this.#at(1 + this.#random() * 5, () => {
      if (epoch !== this.#actorEpoch) return;
      commit();
      this.#committing = false;
      for (const effect of effects) this.#effect(effect);
      this.#turn();
    });
    this.#pendingCommit = commit;
  }
  /** The write that is under way: it may arrive although its process has died. */
  #pendingCommit: () => void = () => undefined;

  #armTick(): void {
    const at = this.state.nextDeadlineAt;
    if (at >= this.#tickAt || at === Number.POSITIVE_INFINITY) return;
    this.#tickAt = at;
    const epoch = this.#actorEpoch;
    this.#at(Math.max(0, at - this.#now) + 50, () => {
      if (epoch !== this.#actorEpoch) return;
      this.#tickAt = Number.POSITIVE_INFINITY;
      this.#tell({ kind: "tick" });
      this.#armTick();
    });
  }

  #crashActor(): void {
    if (this.#actorEpoch < 0) return;
    this.crashes.actor += 1;
    this.#log("ACTOR CRASH");
    if (this.#committing && this.#random() < 0.5) this.#pendingCommit();
    const next = this.#actorEpoch + 1;
    this.#actorEpoch = -next;
    this.#mailbox = [];
    this.#committing = false;
    this.#tickAt = Number.POSITIVE_INFINITY;
    this.#at(100 + this.#random() * 5_000, () => {
      this.#actorEpoch = next;
      this.state = createGateway(KEY, [...this.records].map(([suffix, value]) => ({ suffix, value })));
      this.#tell({ kind: "tick" });
    });
  }

  #effect(effect: GatewayEffect): void {
    const epoch = this.#actorEpoch;
    const back = (message: GatewayMessage, delayMs: number): void => this.#at(delayMs, () => epoch === this.#actorEpoch && this.#tell(message));
    switch (effect.kind) {
      case "downlink":
        this.#down(effect.message, effect.tracked, back);
        return;
      case "reply": {
        const stored = !this.#chance(0.1);
        if (stored && effect.reply.kind === "final") this.submitted.get(effect.reply.id)!.finals.push(effect.reply);
        if (effect.owed) back({ kind: "replied", id: effect.reply.id, n: effect.reply.n, stored }, 2 + this.#random() * 20);
        return;
      }
      case "drop-session":
        if (this.#connection > 0) this.#disconnect();
        return;
      case "probe":
        back({ kind: "probed", online: this.#connection > 0, clientIp: "", answerTo: 0 }, 5);
        return;
      case "audit":
        this.#log(`audit ${effect.what} ${effect.detail}`);
        return;
      case "answer":
      case "command-event":
      case "presence-event":
        return;
    }
  }

  // ---- the network

  #down(message: DownlinkMessage, tracked: { id: string; attempt: number } | null, back: (message: GatewayMessage, delayMs: number) => void): void {
    this.#log(`down ${message.k} ${"id" in message ? message.id.slice(-4) : ""} ${tracked?.attempt ?? ""}`);
    const outcome = (state: DownlinkOutcome): void => {
      if (tracked) back({ kind: "outcome", ...tracked, state }, 1 + this.#random() * 30);
    };
    if (this.#chance(0.05)) return outcome("unsent");
    if (this.#connection === 0) {
      outcome(this.#chance(0.2) ? "failed" : "offline");
      return;
    }
    outcome(this.#chance(0.1) ? "failed" : "handed");
    if (this.#chance(this.#options.duplicates)) this.#at(this.#random() * 3_000, () => this.#device({ kind: "down", message }));
    if (this.#chance(this.#options.loss)) return;
    const connection = this.#connection;
    const late = this.#chance(0.05) ? this.#random() * 15_000 : 0;
    this.#at(1 + this.#random() * 50 + late, () => {
      if (connection !== this.#connection && late === 0) return;
      this.#device({ kind: "down", message });
      if (tracked && !this.#chance(this.#options.loss)) back({ kind: "receipt", ...tracked, delivered: true }, 1 + this.#random() * 20);
    });
  }

  #up(message: UplinkMessage): void {
    this.#log(`up ${message.k} ${"id" in message ? message.id.slice(-4) : ""} ${message.k === "res" ? (message.error?.reason ?? "ok") : ""}`);
    const arrive = (): void => this.#tell({ kind: "uplink", message, publishedAt: this.#now, traceparent: "", answerTo: 0 });
    if (this.#chance(this.#options.duplicates)) this.#at(this.#random() * 3_000, arrive);
    if (!this.#chance(this.#options.loss)) this.#at(1 + this.#random() * 50, arrive);
  }

  #presence(type: "connect" | "tcpclean", channelId: string): (GatewayMessage & { kind: "presence" })["event"] {
    return { type, clientId: KEY.clientId, channelId, clientIp: "10.0.0.1:1", atMs: this.#now, epoch: 1, counter: ++this.#presenceCounter };
  }

  // ---- the device

  #startDevice(): void {
    const journal = new JournalState();
    for (const entry of this.#journal) journal.apply(entry);
    this.#machine = new GatewayMachine(journal, { bootId: `boot-${this.#deviceEpoch}`, agent: { name: "sim", version: "1" }, methods: new Map(Object.entries(methods)) });
    this.#device({ kind: "boot" });
    this.#at(this.#random() * 2_000, () => this.#connect());
  }

  #connect(): void {
    if (!this.#machine || this.#connection > 0) return;
    this.#connection = ++this.#connections;
    const event = this.#presence("connect", `c${this.#connection}`);
    if (!this.#chance(0.2)) this.#at(1 + this.#random() * 200, () => this.#tell({ kind: "presence", event, answerTo: 0 }));
    this.#device({ kind: "connected" });
    const connection = this.#connection;
    if (this.#chaos) this.#at(this.#random() * 60_000, () => this.#chaos && connection === this.#connection && this.#disconnect());
  }

  #disconnect(): void {
    const event = this.#presence("tcpclean", `c${this.#connection}`);
    if (!this.#chance(0.2)) this.#at(1 + this.#random() * 200, () => this.#tell({ kind: "presence", event, answerTo: 0 }));
    this.#connection = 0;
    this.#device({ kind: "disconnected" });
    this.#at(this.#random() * 8_000, () => this.#connect());
  }

  #device(input: GatewayInput): void {
    if (!this.#machine) return;
    const turn = this.#machine.receive(input, this.#now + this.#clockSkewMs);
    if (turn.entries.length > 0) {
      if (this.#chance(0.01)) return this.#crashDevice(); // before the journal
      this.#journal.push(...turn.entries);
      if (this.#chance(0.01)) return this.#crashDevice(); // between journal and effect
    }
    for (const output of turn.outputs) this.#output(output);
  }

  #output(output: GatewayOutput): void {
    const epoch = this.#deviceEpoch;
    switch (output.kind) {
      case "send":
        if (this.#connection > 0) this.#up(output.message);
        return;
      case "run": {
        this.#log(`RUN ${output.id.slice(-4)} ${output.method}`);
        this.submitted.get(output.id)!.runs += 1;
        const durationMs = this.#random() * (output.method === "sim.read" ? 500 : 6_000);
        const failed = this.#random() < 0.1;
        this.#at(durationMs / 2, () => epoch === this.#deviceEpoch && this.#device({ kind: "progress", id: output.id, progress: { pct: 50, stage: "half" } }));
        this.#at(durationMs, () => {
          if (epoch !== this.#deviceEpoch) return;
          this.#device({ kind: "finished", id: output.id, outcome: failed ? { error: commandError("HANDLER_FAILED", "no") } : { result: { ran: true } } });
        });
        return;
      }
      case "abort":
        this.#at(this.#random() * 1_000, () => {
          if (epoch === this.#deviceEpoch) this.#device({ kind: "finished", id: output.id, outcome: { error: new CommandFailed("CANCELLED", "ABORTED", "aborted").error } });
        });
        return;
    }
  }

  #crashDevice(): void {
    if (!this.#machine) return;
    this.crashes.device += 1;
    this.#log("DEVICE CRASH");
    this.#machine = null;
    this.#deviceEpoch += 1;
    if (this.#connection > 0) {
      const event = this.#presence("tcpclean", `c${this.#connection}`);
      this.#connection = 0;
      this.#at(1 + this.#random() * 2_000, () => this.#tell({ kind: "presence", event, answerTo: 0 }));
    }
    this.#at(500 + this.#random() * 6_000, () => this.#startDevice());
  }

  #deviceTick(): void {
    this.#device({ kind: "tick" });
    const busy = this.#chaos || this.#now < this.#startedAt + CHAOS_MS + 900_000;
    this.#at(busy ? 250 : 30_000, () => this.#deviceTick());
  }
}

function pick<T>(random: () => number, values: readonly T[]): T {
  return values[Math.floor(random() * values.length)]!;
}

function mulberry32(seed: number): () => number {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
