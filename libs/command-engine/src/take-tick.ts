/** Time: what is due now. */
import { commandError, isFinal } from "@hawser/csg-protocol";
import { type Command, isPaused } from "./command.ts";
import { enterDoubt, flushAcks, maySend, notDelivered, pump, query, send, sendCancel } from "./dispatch.ts";
import { hasOpenCommands } from "./gateway-state.ts";
import type { GatewayTurn } from "./gateway-turn.ts";
import { goOffline } from "./take-link.ts";

const NEVER = Number.POSITIVE_INFINITY;

export function takeTick(turn: GatewayTurn): void {
  const { state, now } = turn;
  const { link } = state;
  if (link.offlineAt <= now) goOffline(turn);
  if (link.awaitHelloUntil > 0 && link.awaitHelloUntil <= now) link.awaitHelloUntil = 0;
  for (const command of [...state.queued]) {
    if (command.queueDeadlineAt <= now) expireQueued(turn, command);
  }
  for (const command of [...state.active.values()]) tickActive(turn, command);
  for (const command of [...state.owed.values()]) {
    if (command.live.replyRetryAt <= now) turn.sendOwed(command);
  }
  if (link.probeAt <= now) {
    link.probeAt = link.reachable === "no" ? now + turn.settings.resendMaxMs : NEVER;
    if (link.reachable === "no" && hasOpenCommands(state)) turn.emit({ kind: "probe" });
  }
  pump(turn);
  if (state.acksDueAt <= now) flushAcks(turn);
}

/** QUEUED means: no send of it can have reached the gateway. */
function expireQueued(turn: GatewayTurn, command: Command): void {
  const detail = turn.state.link.reachable === "no" ? "the gateway was offline until its queue time was over" : "its queue time was over before it could be sent";
  turn.finalize(command, "EXPIRED", { error: notDelivered(detail) }, "platform");
}

function tickActive(turn: GatewayTurn, command: Command): void {
  const { now, settings } = turn;
  const { live } = command;
  if (command.state === "IN_DOUBT") {
    tickDoubt(turn, command);
    return;
  }
  if (isPaused(command) && command.queueDeadlineAt <= now) {
    enterDoubt(turn, command);
    return;
  }
  if (live.execDeadlineAt + settings.inDoubtGraceMs <= now || live.stepDeadlineAt <= now) {
    enterDoubt(turn, command);
    return;
  }
  if (live.resendAt > now) return;
  if (command.taken) {
    if (command.cancelling && maySend(turn)) sendCancel(turn, command);
    else live.resendAt = command.cancelling ? now + settings.deliveryTimeoutMs : NEVER;
    return;
  }
  if (command.state === "SENT") silent(turn);
  if (live.execDeadlineAt <= now) live.resendAt = NEVER; // no time left to run it: only the answer is awaited
  else if (maySend(turn)) send(turn, command);
  else live.resendAt = NEVER; // hello sends it again
}

function tickDoubt(turn: GatewayTurn, command: Command): void {
  const { now, settings } = turn;
  const { live } = command;
  if (command.inDoubtSince + settings.reconcileWindowMs <= now) {
    turn.emit({ kind: "audit", what: "outcome-unknown", id: command.id, detail: "the gateway has not come back within the reconcile window" });
    turn.finalize(command, "UNKNOWN", { error: commandError("IN_DOUBT", "the gateway has not come back to tell") }, "platform");
    return;
  }
  if (live.doubtReplyAt <= now) {
    live.doubtReplyAt = NEVER;
    if (command.finals === 0) {
      command.error = commandError("IN_DOUBT", "its time is over and the gateway has not told how it ended; a late result may follow");
      command.origin = "platform";
      turn.owe(command);
      turn.save(command);
    }
  }
  if (live.resendAt <= now) {
    if (maySend(turn)) query(turn, command);
    else live.resendAt = NEVER;
  }
}

/** A send without a receipt: after some of them the connection is called unstable and is dropped. */
function silent(turn: GatewayTurn): void {
  const { link } = turn.state;
  link.silentSends += 1;
  if (link.silentSends < turn.settings.deliveryAttempts) return;
  link.silentSends = 0;
  if (link.state === "online") link.state = "unstable";
  turn.emit({ kind: "drop-session" });
}

/** First turn after the records were loaded: an owner before us may have left anything half done. */
export function resume(turn: GatewayTurn): void {
  const { state, now } = turn;
  state.fresh = false;
  for (const command of state.owed.values()) turn.sendOwed(command);
  for (const command of state.active.values()) {
    if (isFinal(command.state)) continue;
    if (command.state === "IN_DOUBT") {
      if (command.finals === 0) command.live.doubtReplyAt = now + turn.settings.inDoubtGraceMs;
      query(turn, command);
    } else if (command.taken || command.queueTtlMs === 0 || command.queueDeadlineAt <= now) {
      // its time on the gateway runs on
      command.live.execDeadlineAt = command.firstSentAt + command.execMs;
      if (command.live.execDeadlineAt > now) send(turn, command);
      else enterDoubt(turn, command);
    } else {
      send(turn, command);
    }
  }
  turn.forgetOld();
}
