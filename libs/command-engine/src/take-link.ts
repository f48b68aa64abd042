/**
 * The gateway's connection. Presence never ends a command, it only says whether sending is worth
 * trying; what a P2P answer says counts too, and any word of the gateway proves it online.
 */
import { commandError } from "@hawser/csg-protocol";
import type { PresenceEvent } from "@hawser/wire";
import type { Command } from "./command.ts";
import { backoff, pause, pump, unsend } from "./dispatch.ts";
import type { GatewayTurn } from "./gateway-turn.ts";
import type { DownlinkOutcome } from "./machine-messages.ts";
import { resendNow } from "./take-uplink.ts";

const NEVER = Number.POSITIVE_INFINITY;
/** Clocks of two members may differ by this much when an event and a hello are put in order. */
const CLOCK_SLACK_MS = 2_000;

/** The gateway has spoken: it is known, and online. */
export function seen(turn: GatewayTurn): void {
  const { state, now } = turn;
  known(turn);
  state.link.lastSeenAt = now;
  state.link.silentSends = 0;
  online(turn, now, state.link.clientIp);
}

function known(turn: GatewayTurn): void {
  const { state, now } = turn;
  if (state.meta) return;
  state.meta = { v: 1, gateway: state.gateway, group: state.group, firstSeenAt: now, hello: null, seq: { ...state.seq } };
  turn.saveMeta();
}

function online(turn: GatewayTurn, at: number, clientIp: string): void {
  const { link } = turn.state;
  link.reachable = "yes";
  link.offlineAt = NEVER;
  link.probeAt = NEVER;
  link.clientIp = clientIp;
  if (link.state === "online") return;
  const announce = link.state !== "unstable";
  link.state = "online";
  link.sinceMs = at;
  if (announce) turn.emit({ kind: "presence-event", online: true, at, clientIp, reason: "connected" });
}

export function takePresence(turn: GatewayTurn, event: PresenceEvent, answerTo: number): void {
  const { state, now, settings } = turn;
  const { link } = state;
  known(turn);
  const later = event.epoch > link.epoch || (event.epoch === link.epoch && event.counter > link.counter);
  if (later) {
    link.epoch = event.epoch;
    link.counter = event.counter;
    if (event.type === "connect") {
      link.channelId = event.channelId;
      link.connectedAt = now;
      online(turn, event.atMs, event.clientIp);
      // the hello of this connection may have come by its own, shorter way
      if (link.helloAt + CLOCK_SLACK_MS < event.atMs) link.awaitHelloUntil = now + settings.helloWaitMs;
      pump(turn);
    } else if (link.channelId === "" || link.channelId === event.channelId) {
      link.offlineAt = now + settings.presenceGraceMs;
      link.reachable = "no";
      link.probeAt = now + settings.resendMaxMs;
      link.awaitHelloUntil = 0;
      for (const command of state.active.values()) pause(command);
    }
  }
  turn.answer(answerTo);
}

/** The grace of a lost connection is over. */
export function goOffline(turn: GatewayTurn): void {
  const { link } = turn.state;
  link.offlineAt = NEVER;
  if (link.state === "offline") return;
  link.state = "offline";
  link.sinceMs = turn.now;
  turn.emit({ kind: "presence-event", online: false, at: turn.now, clientIp: link.clientIp, reason: "connection lost" });
  failUnqueueable(turn);
}

/** What may not wait and certainly was not sent ends now. */
function failUnqueueable(turn: GatewayTurn): void {
  for (const command of [...turn.state.queued]) {
    if (command.queueTtlMs > 0) continue;
    turn.finalize(command, "REJECTED", { error: commandError("GATEWAY_OFFLINE", `${turn.state.gateway} is offline`) }, "platform");
  }
}

export function takeOutcome(turn: GatewayTurn, id: string, attempt: number, outcome: DownlinkOutcome): void {
  const { state, now, settings } = turn;
  const { link } = state;
  const command = state.active.get(id);
  if (outcome === "handed") return;
  if (outcome === "failed" || outcome === "unsent") {
    if (command && outcome === "unsent") forgetSend(command, attempt);
    if (command && !command.taken && command.state !== "IN_DOUBT" && command.live.resendAt !== NEVER) {
      command.live.resendAt = now + backoff(turn, command.live.resends++);
    }
    return;
  }
  const stale = command !== undefined && link.lastSeenAt > command.live.lastSentAt;
  if (!stale && link.reachable !== "no") {
    link.reachable = "no";
    link.probeAt = now + settings.resendMaxMs;
    if (link.state === "unknown") {
      link.state = "offline";
      link.sinceMs = now;
    } else if (link.state !== "offline" && link.offlineAt === NEVER) {
      link.offlineAt = now + settings.presenceGraceMs;
    }
  }
  if (!command || command.taken || command.state === "IN_DOUBT") return;
  const { live } = command;
  forgetSend(command, attempt);
  if (live.maybe.length > 0) {
    if (!stale) pause(command);
    return;
  }
  unsend(turn, command);
  if (stale) pump(turn);
  else if (command.queueTtlMs === 0) {
    turn.finalize(command, "REJECTED", { error: commandError("GATEWAY_OFFLINE", `${state.gateway} is offline`) }, "platform");
  }
}

function forgetSend({ live }: Command, attempt: number): void {
  const at = live.maybe.indexOf(attempt);
  if (at >= 0) live.maybe.splice(at, 1);
}

/** The client acknowledged the PUBLISH: it has arrived, but is not yet in the journal. */
export function takeReceipt(turn: GatewayTurn, id: string, attempt: number, delivered: boolean): void {
  const command = turn.state.active.get(id);
  turn.state.link.silentSends = 0;
  if (!command || !delivered || attempt !== command.attempt) return;
  if (turn.advance(command, "DELIVERED") && !command.taken) command.live.resendAt = turn.now + turn.settings.acceptTimeoutMs;
}

/** What the session owner says of the connection. */
export function takeProbe(turn: GatewayTurn, isOnline: boolean, clientIp: string): void {
  const { link } = turn.state;
  if (isOnline) {
    known(turn);
    const wasAway = link.reachable === "no";
    online(turn, turn.now, clientIp);
    if (wasAway) resendNow(turn);
    pump(turn);
  } else {
    link.reachable = "no";
    link.probeAt = turn.now + turn.settings.resendMaxMs;
    if (link.state === "unknown") {
      link.state = "offline";
      link.sinceMs = turn.now;
    }
  }
}
