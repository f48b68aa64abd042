/**
 * One command: what its record in `hawser-gateways` holds, and what only the owner's memory does.
 */
import {
  type CommandError,
  type CommandState,
  isFinal,
  type Lane,
  type ReplyMode,
  type ReplyOrigin,
} from "@hawser/csg-protocol";

export interface CommandProgress {
  readonly n: number;
  readonly pct?: number;
  readonly stage?: string;
  readonly msg?: string;
}

/** The durable part. Times are ms since the epoch, 0 = not yet. */
export interface CommandRecord {
  readonly v: 1;
  readonly id: string;
  /** Arrival order at this gateway's actor. */
  readonly order: number;
  readonly method: string;
  /** null once the command has ended: the hash is enough to recognise it. */
  params: unknown;
  /** Of method and params: tells a repeated request from a reused id. */
  readonly bodyHash: string;
  readonly lane: Lane;
  readonly mutexKey: string | null;
  readonly reply: ReplyMode;
  /** RocketMQ topic of the replies; empty = none is sent (REST). */
  readonly replyTopic: string;
  /** `dnm_*` properties of the request, given back in every reply. */
  readonly echo: readonly (readonly [string, string])[];
  readonly principal: string;
  /** Context of the span `csg.command`, empty when not sampled. */
  readonly traceparent: string;
  readonly createdAt: number;
  /** 0 = fails at once when the gateway is offline. */
  readonly queueTtlMs: number;
  /** Until then it may start. */
  readonly queueDeadlineAt: number;
  /** Time it has on the gateway. */
  readonly execMs: number;
  state: CommandState;
  attempt: number;
  /** Of its lane, given with the first SENT, kept by resends; 0 = none yet. */
  seq: number;
  firstSentAt: number;
  /** Install id of the gateway when it was first sent. */
  installId: string;
  /** The gateway has said that it has it. */
  taken: boolean;
  cancelling: boolean;
  inDoubtSince: number;
  result: unknown;
  error: CommandError | null;
  origin: ReplyOrigin;
  finalAt: number;
  /** `n` of the final reply that RocketMQ is still owed; 0 = none. */
  owed: number;
  /** Final replies given so far: 2 when a late result followed UNKNOWN. */
  finals: number;
  /** Context for the reply: of the gateway's answer. */
  replyTraceparent: string;
  progress: CommandProgress | null;
  history: [state: CommandState, at: number][];
}

/** A command in its owner's memory. */
export interface Command extends CommandRecord {
  readonly live: {
    /** Sends that may have reached the gateway, by attempt. Empty = it certainly never saw it. */
    maybe: number[];
    lastSentAt: number;
    /** Send, ask or cancel again. */
    resendAt: number;
    execDeadlineAt: number;
    stepDeadlineAt: number;
    /** When the caller is told that the outcome is in doubt. */
    doubtReplyAt: number;
    /** When the owed reply is handed to the log again. */
    replyRetryAt: number;
    resends: number;
  };
}

const NEVER = Number.POSITIVE_INFINITY;

export function withLive(record: CommandRecord): Command {
  const sent = record.state !== "QUEUED" && !isFinal(record.state);
  return Object.assign(record, {
    live: {
      maybe: sent ? [0] : [],
      lastSentAt: 0,
      resendAt: NEVER,
      execDeadlineAt: NEVER,
      stepDeadlineAt: NEVER,
      doubtReplyAt: NEVER,
      replyRetryAt: NEVER,
      resends: 0,
    },
  });
}

export function encodeCommand(command: Command): Buffer {
  return Buffer.from(JSON.stringify(command, (key, value: unknown) => (key === "live" ? undefined : value)));
}

/** @throws Error when the record is of a version this build does not know */
export function decodeCommand(value: Buffer): Command {
  const record = JSON.parse(value.toString()) as CommandRecord;
  if (record.v !== 1) throw new Error(`command record: version ${String(record.v)} is not known`);
  return withLive(record);
}

/** The earliest moment this command wants a tick. */
export function deadlineOf(command: Command, settings: { readonly inDoubtGraceMs: number; readonly reconcileWindowMs: number }): number {
  const { live } = command;
  if (isFinal(command.state)) return command.owed ? live.replyRetryAt : NEVER;
  if (command.state === "QUEUED") return command.queueDeadlineAt;
  const at = Math.min(live.resendAt, live.execDeadlineAt + settings.inDoubtGraceMs, live.stepDeadlineAt, live.doubtReplyAt);
  if (command.state === "IN_DOUBT") return Math.min(at, command.inDoubtSince + settings.reconcileWindowMs);
  return isPaused(command) ? Math.min(at, command.queueDeadlineAt) : at;
}

/** Sent, not accepted, and its gateway went away: its time on the gateway does not run. */
export function isPaused(command: Command): boolean {
  return command.live.execDeadlineAt === NEVER && !command.taken;
}

/** What REST and `ask` show of a command. */
export interface CommandView {
  readonly id: string;
  readonly gateway: string;
  readonly group: string;
  readonly method: string;
  readonly lane: Lane;
  readonly state: CommandState;
  readonly attempt: number;
  readonly code: string | null;
  readonly result: unknown;
  readonly error: CommandError | null;
  readonly progress: CommandProgress | null;
  readonly traceId: string | null;
  readonly createdAt: number;
  readonly history: readonly { readonly state: CommandState; readonly at: number }[];
}

export function viewOf(command: Command, gateway: string, group: string): CommandView {
  return {
    id: command.id,
    gateway,
    group,
    method: command.method,
    lane: command.lane,
    state: command.state,
    attempt: command.attempt,
    code: command.state === "SUCCEEDED" ? "OK" : (command.error?.code ?? null),
    result: command.result ?? null,
    error: command.error,
    progress: command.progress,
    traceId: command.traceparent === "" ? null : command.traceparent.slice(3, 35),
    createdAt: command.createdAt,
    history: command.history.map(([state, at]) => ({ state, at })),
  };
}
