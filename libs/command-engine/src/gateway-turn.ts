/**
 * One turn of a gateway's actor: collects what it writes and what it wants done, and holds the
 * transitions every part of the machine shares. Rules kept here: states move forward by rank only;
 * a final state stays, but for UNKNOWN, which a real result may still replace (a late result); the
 * final state and the reply it owes are one write.
 */
import {
  type CommandError,
  type CommandState,
  httpStatusOf,
  isFinal,
  problemOf,
  rankOf,
  type ReplyKind,
  type ReplyOrigin,
} from "@hawser/csg-protocol";
import type { RecordWrite, Turn } from "@hawser/actors";
import { type Command, encodeCommand, viewOf } from "./command.ts";
import { encodeMeta, type GatewayState } from "./gateway-state.ts";
import type { GatewayEffect, Reply } from "./machine-messages.ts";
import type { MachineSettings } from "./machine-settings.ts";

const NEVER = Number.POSITIVE_INFINITY;
/** Finished commands kept per gateway, whatever their age. */
const FINISHED_MAX = 1_000;
const HISTORY_MAX = 40;
/** How long an append to the log that failed is left before the reply is tried again. */
const REPLY_RETRY_MS = 5_000;

export class GatewayTurn {
  readonly state: GatewayState;
  readonly now: number;
  readonly settings: MachineSettings;
  readonly effects: GatewayEffect[] = [];
  readonly #saved = new Map<string, Command | null>();
  #metaSaved = false;

  constructor(state: GatewayState, now: number, settings: MachineSettings) {
    this.state = state;
    this.now = now;
    this.settings = settings;
  }

  emit(effect: GatewayEffect): void {
    this.effects.push(effect);
  }

  answer(to: number, members: { readonly [member: string]: unknown } = {}): void {
    if (to !== 0) this.effects.push({ kind: "answer", to, answer: { ok: true, ...members } });
  }

  save(command: Command): void {
    this.#saved.set(command.id, command);
  }

  saveMeta(): void {
    this.#metaSaved = true;
  }

  finish(): Turn<GatewayEffect> {
    const writes: RecordWrite[] = [];
    if (this.#metaSaved && this.state.meta) writes.push({ suffix: "", value: encodeMeta(this.state.meta) });
    for (const [suffix, command] of this.#saved) writes.push({ suffix, value: command ? encodeCommand(command) : null });
    return { writes, effects: this.effects };
  }

  /** Forward only; a later state may come first. @returns whether anything changed */
  advance(command: Command, to: CommandState): boolean {
    if (isFinal(command.state) || rankOf(to) <= rankOf(command.state)) return false;
    this.enter(command, to);
    return true;
  }

  enter(command: Command, to: CommandState): void {
    command.state = to;
    command.history.push([to, this.now]);
    if (command.history.length > HISTORY_MAX) command.history.splice(1, 1);
    if (!isFinal(to)) this.emit({ kind: "command-event", command: this.view(command) });
  }

  view(command: Command): ReturnType<typeof viewOf> {
    return viewOf(command, this.state.gateway, this.state.group);
  }

  /** The end of a command. A second end is ignored, but for a real result after UNKNOWN. @returns whether it counted */
  finalize(command: Command, to: CommandState, outcome: { result?: unknown; error?: CommandError }, origin: ReplyOrigin): boolean {
    const { state } = this;
    if (isFinal(command.state) && (command.state !== "UNKNOWN" || to === "UNKNOWN")) return false;
    command.result = outcome.result ?? null;
    command.error = outcome.error ?? null;
    command.origin = origin;
    command.finalAt = this.now;
    command.params = null;
    this.enter(command, to);
    state.active.delete(command.id);
    const at = state.queued.indexOf(command);
    if (at >= 0) state.queued.splice(at, 1);
    Object.assign(command.live, { resendAt: NEVER, execDeadlineAt: NEVER, stepDeadlineAt: NEVER, doubtReplyAt: NEVER });
    this.owe(command);
    this.save(command);
    this.emit({ kind: "command-event", command: this.view(command) });
    this.forgetOld();
    return true;
  }

  /** Makes the command's outcome (or that it is in doubt) a reply RocketMQ must get. */
  owe(command: Command): void {
    if (command.reply === "none" || command.replyTopic === "") return;
    command.owed = command.finals += 1;
    this.state.owed.set(command.id, command);
    this.sendOwed(command);
  }

  sendOwed(command: Command): void {
    command.live.replyRetryAt = NEVER;
    this.emit({ kind: "reply", reply: finalReply(command), owed: true, answerTo: 0 });
  }

  replied(id: string, n: number, stored: boolean): void {
    const command = this.state.owed.get(id);
    if (!command || command.owed !== n) return;
    if (!stored) {
      command.live.replyRetryAt = this.now + REPLY_RETRY_MS;
      return;
    }
    command.owed = 0;
    this.state.owed.delete(id);
    this.save(command);
  }

  /** Between the states, for `reply: progress` only: not owed, a lost one is not repeated. */
  tell(command: Command, kind: "accepted" | "progress", n: number, body: unknown, traceparent: string): void {
    if (command.reply !== "progress" || command.replyTopic === "") return;
    const status = kind === "accepted" ? 202 : 102;
    const reply: Reply = { ...base(command, kind, n), status, code: "OK", reason: "", origin: "device", late: false, body, problem: false, traceparent };
    this.emit({ kind: "reply", reply, owed: false, answerTo: 0 });
  }

  /** Another body under an id in use: an answer to that request, not the end of the command. */
  reject(command: Command, error: CommandError, replyTopic: string, answerTo: number): void {
    const reply: Reply = { ...base(command, "rejected", 1), topic: replyTopic, ...failure(error, command.id), origin: "platform", late: false };
    this.emit({ kind: "reply", reply, owed: false, answerTo });
  }

  /** The gateway may forget this result. Told with the next message down, or soon. */
  acknowledge(id: string): void {
    const { state } = this;
    if (state.acks.includes(id)) return;
    state.acks.push(id);
    state.acksDueAt = Math.min(state.acksDueAt, this.now + this.settings.ackDelayMs);
  }

  takeAcks(): string[] {
    const acks = this.state.acks;
    this.state.acks = [];
    this.state.acksDueAt = NEVER;
    return acks;
  }

  /** Drops finished commands that are too old or too many. */
  forgetOld(): void {
    const { state } = this;
    let excess = state.commands.size - state.queued.length - state.active.size - FINISHED_MAX;
    for (const command of state.commands.values()) {
      if (!isFinal(command.state) || command.owed > 0) continue;
      if (excess <= 0 && command.finalAt + this.settings.retentionMs > this.now) break;
      excess -= 1;
      state.commands.delete(command.id);
      this.#saved.set(command.id, null);
      if (state.meta && command.seq > state.meta.seq[command.lane]) {
        state.meta.seq[command.lane] = command.seq;
        this.saveMeta();
      }
    }
  }
}

function base(command: Command, kind: ReplyKind, n: number): Pick<Reply, "id" | "method" | "kind" | "n" | "topic" | "echo" | "traceparent"> {
  const { id, method, replyTopic: topic, echo } = command;
  return { id, method, kind, n, topic, echo, traceparent: command.replyTraceparent || command.traceparent };
}

function failure(error: CommandError, id: string): Pick<Reply, "status" | "code" | "reason" | "body" | "problem"> {
  return { status: httpStatusOf[error.code], code: error.code, reason: error.reason, body: problemOf(error, id), problem: true };
}

/** The reply a command owes: its outcome, or that its outcome is in doubt. */
export function finalReply(command: Command): Reply {
  const ok = { status: 200, code: "OK", reason: "", body: command.result ?? null, problem: false };
  return {
    ...base(command, "final", command.finals),
    ...(command.error ? failure(command.error, command.id) : ok),
    origin: command.origin,
    late: command.finals > 1,
  };
}
