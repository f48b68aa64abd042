/**
 * The actors of the gateways this process owns: the machine inside a host that keeps its records,
 * and what the machine wants done, done. All actors share one coarse timer.
 */
import { type ActorKey, ActorHost } from "@hawser/actors";
import type { Bus } from "@hawser/bus";
import type { Config } from "@hawser/config";
import { isFinal } from "@hawser/csg-protocol";
import { counter, gauge, histogram, type Logger, metricNames } from "@hawser/telemetry";
import { actorToken, buckets, encodeToken, shardOf, subjects } from "@hawser/wire";
import { type CommandView, createGateway, type GatewayEffect, type GatewayMessage, type GatewayState, isIdle, machineSettings, receive } from "@hawser/command-engine";
import { DeadlineHeap } from "./deadline-heap.ts";
import type { Downlinks } from "./downlinks.ts";
import { type AnswerCallback, PendingAnswers } from "./pending-answers.ts";
import { commandEventData, eventMessage } from "./reply-message.ts";
import type { RocketMqOutbox } from "./rocketmq-outbox.ts";

export interface ActorsOptions {
  readonly bus: Bus;
  readonly member: string;
  readonly csg: Config["csg"];
  readonly shards: number;
  readonly epochOf: (shard: number) => number;
  readonly mayServe: () => boolean;
  readonly onStale: (shard: number) => void;
  readonly downlinks: () => Downlinks;
  readonly outbox: RocketMqOutbox;
  readonly log: Logger;
  readonly now: () => number;
}

const TIMER_MS = 100;
/** An actor that failed or is still being loaded gets its tick again. */
const TICK_AGAIN_MS = 5_000;
const IDLE_MS = 120_000;
/** Commands for one gateway in its mailbox: above a full queue of it, so that QUEUE_FULL is said, not busy. */
const MAILBOX_LIMIT = 2_048;

export class GatewayActors {
  readonly host: ActorHost<GatewayState, GatewayMessage, GatewayEffect>;
  readonly #options: ActorsOptions;
  readonly #deadlines = new DeadlineHeap<string>();
  readonly #keys = new Map<string, ActorKey>();
  readonly #answers = new PendingAnswers();
  readonly #foreign = counter(metricNames.foreignAnswers);
  readonly #seconds = histogram(metricNames.commandSeconds);
  /** Per gateway with any: open commands, replies owed. */
  readonly #counts = new Map<string, readonly [open: number, owed: number]>();
  #removeGauges: (() => void)[] = [];
  #timer: NodeJS.Timeout | null = null;
  #eventNumber = 0;

  constructor(options: ActorsOptions) {
    this.#options = options;
    const settings = machineSettings(options.csg);
    this.host = new ActorHost<GatewayState, GatewayMessage, GatewayEffect>({
      bus: options.bus,
      bucket: buckets.gateways,
      epochOf: options.epochOf,
      mayServe: options.mayServe,
      onStale: options.onStale,
      mailboxLimit: MAILBOX_LIMIT,
      idleMs: IDLE_MS,
      log: options.log,
      behaviour: {
        create: (key, records) => {
          const state = createGateway(key, records);
          this.#want(key, state.nextDeadlineAt);
          return state;
        },
        receive: (state, message, now) => {
          const turn = receive(state, message, now, settings);
          const key = this.keyOf(state.instance, state.clientId);
          this.#want(key, state.nextDeadlineAt);
          this.#count(key, state);
          return turn;
        },
        perform: (effects, key) => {
          for (const effect of effects) this.#perform(effect, key);
        },
        idle: isIdle,
      },
    });
  }

  start(): void {
    const sum = (index: 0 | 1): number => [...this.#counts.values()].reduce((total, counts) => total + counts[index], 0);
    this.#removeGauges = [gauge(metricNames.commandsOpen, null, () => sum(0)), gauge(metricNames.repliesOwed, null, () => sum(1))];
    this.#timer = setInterval(() => this.#tick(), TIMER_MS);
  }

  stop(): void {
    if (this.#timer) clearInterval(this.#timer);
    for (const remove of this.#removeGauges) remove();
  }

  keyOf(instance: string, clientId: string): ActorKey {
    const token = actorToken(instance, clientId);
    return this.#keys.get(token) ?? { instance, clientId, shard: shardOf(instance, clientId, this.#options.shards), token };
  }

  /** @param done called once, when the turn is safe; never, when its actor is lost */
  ask(key: ActorKey, build: (answerTo: number) => GatewayMessage, done: AnswerCallback): void {
    const answerTo = this.#answers.add(done, this.#options.now());
    const told = this.host.tell(key, build(answerTo));
    if (told !== "accepted") this.#answers.answer(answerTo, { ok: false, code: told, reason: told === "busy" ? "mailbox full" : "not the owner" });
  }

  tell(key: ActorKey, message: GatewayMessage): void {
    // a lost one is made up for by resends and hello
    this.host.tell(key, message);
  }

  /** Wakes what an owner before us has left unfinished. */
  resume(keys: readonly ActorKey[]): void {
    for (const key of keys) this.tell(key, { kind: "tick" });
  }

  forgetShard(shard: number): void {
    for (const [token, key] of this.#keys) {
      if (key.shard !== shard) continue;
      this.#keys.delete(token);
      this.#deadlines.delete(token);
      this.#counts.delete(token);
    }
  }

  #count(key: ActorKey, { queued, active, owed }: GatewayState): void {
    const open = queued.length + active.size;
    if (open === 0 && owed.size === 0) this.#counts.delete(key.token);
    else this.#counts.set(key.token, [open, owed.size]);
  }

  #want(key: ActorKey, at: number): void {
    this.#deadlines.set(key.token, at);
    if (at === Number.POSITIVE_INFINITY) this.#keys.delete(key.token);
    else this.#keys.set(key.token, key);
  }

  #tick(): void {
    const now = this.#options.now();
    this.#answers.sweep(now);
    this.#options.downlinks().sweep(now);
    if (!this.#options.mayServe()) return;
    for (const token of this.#deadlines.due(now)) {
      const key = this.#keys.get(token);
      if (!key) continue;
      const told = this.host.tell(key, { kind: "tick" });
      if (told === "fenced") this.#keys.delete(token);
      else if (told === "busy" || this.host.peek(key) === undefined) this.#deadlines.set(token, now + TICK_AGAIN_MS);
    }
  }

  #perform(effect: GatewayEffect, key: ActorKey): void {
    const { outbox, log } = this.#options;
    const name = nameOf(key.clientId);
    switch (effect.kind) {
      case "answer":
        this.#answers.answer(effect.to, effect.answer);
        return;
      case "downlink":
        this.#options.downlinks().send(key, name.gateway, effect);
        return;
      case "reply": {
        const { reply, owed, answerTo } = effect;
        outbox.reply(key, name, reply, (stored) => {
          if (owed) this.tell(key, { kind: "replied", id: reply.id, n: reply.n, stored });
          if (answerTo === 0) return;
          if (stored) this.#answers.answer(answerTo, { ok: true, id: reply.id, outcome: "conflict" });
          else this.#answers.answer(answerTo, { ok: false, code: "busy", reason: "the log did not take the reply" });
        });
        return;
      }
      case "command-event":
        this.#commandEvent(key, name.gateway, effect.command);
        return;
      case "presence-event": {
        const { online, at, clientIp, reason } = effect;
        log.info({ gateway: key.clientId, online, clientIp }, "gateway presence");
        this.#event(key, "csg.presence.v1", name.gateway, { ...name, state: online ? "online" : "offline", at, clientIp, reason });
        return;
      }
      case "drop-session":
        log.warn({ gateway: key.clientId }, "link unstable: its session is dropped");
        this.#options.downlinks().drop(key);
        return;
      case "probe":
        this.probe(key, () => undefined);
        return;
      case "audit":
        if (effect.what === "foreign-answer") this.#foreign.add(1);
        log.warn({ audit: true, what: effect.what, gateway: key.clientId, command: effect.id, detail: effect.detail }, effect.what);
        return;
    }
  }

  /** What is known of a gateway; a new owner asks the session owner about its connection first. */
  describe(key: ActorKey, done: AnswerCallback): void {
    const link = this.host.peek(key)?.link.state ?? "unknown";
    if (link === "unknown") this.probe(key, done);
    else this.ask(key, (answerTo) => ({ kind: "gateway", answerTo }), done);
  }

  /** Asks the session owner, tells the machine, and answers with what it knows then. */
  probe(key: ActorKey, done: AnswerCallback): void {
    this.#options.downlinks().probe(key, (summary) => {
      if (!summary) this.ask(key, (answerTo) => ({ kind: "gateway", answerTo }), done);
      else this.ask(key, (answerTo) => ({ kind: "probed", online: summary.state === "online", clientIp: "", answerTo }), done);
    });
  }

  #commandEvent(key: ActorKey, gateway: string, command: CommandView): void {
    const { bus, now, log } = this.#options;
    bus.publish(subjects.commandEvents(encodeToken(gateway), command.id), Buffer.from(JSON.stringify(command)));
    if (!isFinal(command.state)) return;
    counter(metricNames.commands, { state: command.state, code: command.code ?? "OK" }).add(1);
    this.#seconds.observe((now() - command.createdAt) / 1000, { lane: command.lane });
    const { id, method, state, code, error } = command;
    log.info({ gateway: key.clientId, command: id, method, state, code, reason: error?.reason, ms: now() - command.createdAt }, "command ended");
    this.#event(key, "csg.command.v1", gateway, commandEventData(command));
  }

  /** Best effort: events inform, replies are what is owed. */
  #event(key: ActorKey, type: string, gateway: string, data: object): void {
    const { csg, outbox, now } = this.#options;
    if (csg.eventTopic === "") return;
    const id = `${this.#options.member}.${++this.#eventNumber}`;
    outbox.append(key, eventMessage(csg.eventTopic, type, id, gateway, data, now()), () => undefined);
  }
}

export function nameOf(clientId: string): { gateway: string; group: string } {
  const cut = clientId.indexOf("@@@");
  return cut < 0 ? { gateway: clientId, group: "" } : { gateway: clientId.slice(cut + 3), group: clientId.slice(0, cut) };
}
