/**
 * Sending: which waiting command goes out, when it goes out again, and what is asked about one in
 * doubt. A resend is always the same id and seq, with a higher attempt: the gateway's journal makes
 * it harmless. SENT is durable before the first send, so nobody can later call a command never sent
 * that was; a command is EXPIRED only if no send may have reached the gateway, or the gateway has
 * sworn (NEVER_SEEN) that it will never run it.
 */
import { commandError, type Lane, lanes } from "@hawser/csg-protocol";
import type { Command } from "./command.ts";
import type { GatewayTurn } from "./gateway-turn.ts";

const NEVER = Number.POSITIVE_INFINITY;
/** Tells apart the gateway's own refusal to start and its never having seen the command. */
export const notDelivered = (detail: string): ReturnType<typeof commandError> => commandError("NOT_DELIVERED", detail);

export function maySend(turn: GatewayTurn): boolean {
  const { link } = turn.state;
  return link.reachable !== "no" && link.awaitHelloUntil <= turn.now;
}

/** Sends every waiting command its lane has room for, in arrival order. */
export function pump(turn: GatewayTurn): void {
  const { state } = turn;
  if (state.queued.length === 0 || !maySend(turn)) return;
  const busy: Record<Lane, number> = { query: 0, config: 0, task: 0 };
  const keys = new Set<string>();
  for (const command of state.active.values()) {
    if (command.state === "IN_DOUBT") continue;
    busy[command.lane] += 1;
    if (command.mutexKey !== null) keys.add(command.mutexKey);
  }
  for (const command of [...state.queued]) {
    if (command.mutexKey !== null) {
      if (keys.has(command.mutexKey)) continue;
      keys.add(command.mutexKey);
    }
    if (busy[command.lane] >= laneWidth(turn, command.lane)) continue;
    busy[command.lane] += 1;
    state.queued.splice(state.queued.indexOf(command), 1);
    send(turn, command);
  }
}

function laneWidth(turn: GatewayTurn, lane: Lane): number {
  return lane === "query" ? turn.settings.queryLane : lane === "task" ? turn.settings.taskLane : lanes.config;
}

/** The next attempt of a command that is QUEUED, SENT, DELIVERED, ACCEPTED or RUNNING. */
export function send(turn: GatewayTurn, command: Command): void {
  const { state, now, settings } = turn;
  const { live } = command;
  command.attempt += 1;
  if (command.state === "QUEUED") {
    if (command.seq === 0) command.seq = state.seq[command.lane] += 1;
    command.installId = state.meta?.hello?.installId ?? "";
    command.firstSentAt = now;
    turn.enter(command, "SENT");
    turn.save(command);
    state.active.set(command.id, command);
    live.execDeadlineAt = NEVER;
    live.resends = 0;
  }
  if (live.execDeadlineAt === NEVER) live.execDeadlineAt = now + command.execMs;
  live.maybe.push(command.attempt);
  live.lastSentAt = now;
  live.resendAt = command.taken ? NEVER : now + Math.max(settings.deliveryTimeoutMs, backoff(turn, live.resends++));
  turn.emit({
    kind: "downlink",
    tracked: { id: command.id, attempt: command.attempt },
    method: command.method,
    traceparent: command.traceparent,
    message: {
      v: 1,
      k: "req",
      id: command.id,
      method: command.method,
      params: command.params,
      reply: command.reply,
      ttl: Math.max(0, live.execDeadlineAt - now),
      att: command.attempt,
      lane: command.lane,
      seq: command.seq,
      at: now,
      ...(command.lane === "config" ? { prev: state.configTaken } : {}),
      ...piggyback(turn),
    },
  });
  if (command.cancelling) sendCancel(turn, command);
}

/** Pause before the resend after `resends` of them: 2, 4, 8 s, +-20 %, at most 30 s (settings). */
export function backoff(turn: GatewayTurn, resends: number): number {
  const { resendMinMs, resendMaxMs, random } = turn.settings;
  return Math.min(resendMaxMs, resendMinMs * 2 ** Math.min(resends, 16)) * (0.8 + 0.4 * random());
}

export function sendCancel(turn: GatewayTurn, command: Command): void {
  const { id, method, traceparent, live } = command;
  live.resendAt = turn.now + turn.settings.deliveryTimeoutMs;
  turn.emit({ kind: "downlink", tracked: null, method, traceparent, message: { v: 1, k: "cancel", id, ...piggyback(turn) } });
}

/** Asks what the gateway knows of a command in doubt; asked again until it answers. */
export function query(turn: GatewayTurn, command: Command): void {
  const { id, method, traceparent, live } = command;
  live.resendAt = turn.now + backoff(turn, live.resends++);
  turn.emit({ kind: "downlink", tracked: null, method, traceparent, message: { v: 1, k: "query", id, ...piggyback(turn) } });
}

export function flushAcks(turn: GatewayTurn): void {
  const ids = turn.takeAcks();
  if (ids.length === 0) return;
  turn.emit({ kind: "downlink", tracked: null, method: "", traceparent: "", message: { v: 1, k: "ack", ids } });
}

function piggyback(turn: GatewayTurn): { ack?: string[] } {
  const ack = turn.takeAcks();
  return ack.length > 0 ? { ack } : {};
}

/** Nothing of it can have reached the gateway: back to waiting, at its old place. */
export function unsend(turn: GatewayTurn, command: Command): void {
  const { state } = turn;
  state.active.delete(command.id);
  command.state = "QUEUED";
  command.firstSentAt = 0;
  Object.assign(command.live, { resendAt: NEVER, execDeadlineAt: NEVER, stepDeadlineAt: NEVER });
  const at = state.queued.findIndex((other) => other.order > command.order);
  state.queued.splice(at < 0 ? state.queued.length : at, 0, command);
  turn.save(command);
}

/**
 * The gateway is away: what it may have but has not accepted waits for its return without spending
 * its time, as far as its queue time allows.
 */
export function pause(command: Command): void {
  const { live } = command;
  live.resendAt = NEVER;
  if (!command.taken && command.queueTtlMs > 0) live.execDeadlineAt = NEVER;
}

/** Its time is over and nothing was heard of it. */
export function enterDoubt(turn: GatewayTurn, command: Command): void {
  if (command.live.maybe.length === 0 && !command.taken && command.state !== "IN_DOUBT") {
    turn.finalize(command, "EXPIRED", { error: notDelivered("its time was over before it could be sent") }, "platform");
    return;
  }
  if (!turn.advance(command, "IN_DOUBT")) return;
  command.inDoubtSince = turn.now;
  Object.assign(command.live, { execDeadlineAt: NEVER, stepDeadlineAt: NEVER, resends: 0, resendAt: NEVER });
  command.live.doubtReplyAt = turn.now + turn.settings.inDoubtGraceMs;
  if (maySend(turn)) query(turn, command);
  turn.save(command);
}
