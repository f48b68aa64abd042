/**
 * The machine of one gateway: pure but for its own state, with clock and chance from outside.
 *
 *   QUEUED -> SENT -> DELIVERED -> ACCEPTED -> RUNNING -> SUCCEEDED | FAILED | REJECTED | CANCELLED
 *   QUEUED -> EXPIRED | CANCELLED
 *   SENT .. RUNNING, time over and no word -> IN_DOUBT -> EXPIRED | SUCCEEDED | FAILED | UNKNOWN
 *
 * What makes it safe: the id is the caller's and never changes; RocketMQ is told "taken" only after
 * a record says so; one owner per gateway, fenced by its epoch; SENT is durable before the first
 * send; the gateway journals before the effect; presence never fails a running command, only time
 * does; and what is in doubt is asked, not guessed. Durable are QUEUED when it must wait, SENT
 * before the first send, IN_DOUBT, and the final state with the reply it owes; DELIVERED, ACCEPTED,
 * RUNNING and progress ride along with the next write. A new owner therefore may find SENT for what
 * runs or has ended: it sends again, and the gateway answers from its journal.
 */
import { commandError, isFinal } from "@hawser/csg-protocol";
import type { Turn } from "@hawser/actors";
import { sendCancel } from "./dispatch.ts";
import { computeDeadline, type GatewayState, hasOpenCommands } from "./gateway-state.ts";
import { GatewayTurn } from "./gateway-turn.ts";
import type { GatewayEffect, GatewayMessage } from "./machine-messages.ts";
import type { MachineSettings } from "./machine-settings.ts";
import { takeOutcome, takePresence, takeProbe, takeReceipt } from "./take-link.ts";
import { takeSubmit } from "./take-submit.ts";
import { resume, takeTick } from "./take-tick.ts";
import { takeUplink } from "./take-uplink.ts";

export function receive(state: GatewayState, message: GatewayMessage, now: number, settings: MachineSettings): Turn<GatewayEffect> {
  const turn = new GatewayTurn(state, now, settings);
  if (state.fresh) resume(turn);
  switch (message.kind) {
    case "submit":
      takeSubmit(turn, message.request, message.answerTo);
      break;
    case "uplink":
      takeUplink(turn, message.message, message.traceparent, message.answerTo);
      break;
    case "presence":
      takePresence(turn, message.event, message.answerTo);
      break;
    case "cancel":
      takeCancel(turn, message.id, message.answerTo);
      break;
    case "get": {
      const command = state.commands.get(message.id);
      turn.answer(message.answerTo, command ? { command: turn.view(command) } : { missing: true });
      break;
    }
    case "list": {
      const commands = [...state.commands.values()].reverse().slice(0, message.limit);
      turn.answer(message.answerTo, { known: state.meta !== null, commands: commands.map((command) => turn.view(command)) });
      break;
    }
    case "gateway":
      turn.answer(message.answerTo, gatewayView(state));
      break;
    case "outcome":
      takeOutcome(turn, message.id, message.attempt, message.state);
      break;
    case "receipt":
      takeReceipt(turn, message.id, message.attempt, message.delivered);
      break;
    case "replied":
      turn.replied(message.id, message.n, message.stored);
      break;
    case "probed":
      takeProbe(turn, message.online, message.clientIp);
      turn.answer(message.answerTo, gatewayView(state));
      break;
    case "tick":
      takeTick(turn);
      break;
  }
  state.nextDeadlineAt = computeDeadline(state, settings);
  return turn.finish();
}

export function isIdle(state: GatewayState): boolean {
  return !state.fresh && !hasOpenCommands(state) && state.owed.size === 0 && state.nextDeadlineAt === Number.POSITIVE_INFINITY;
}

function takeCancel(turn: GatewayTurn, id: string, answerTo: number): void {
  const command = turn.state.commands.get(id);
  if (!command) {
    turn.answer(answerTo, { missing: true });
    return;
  }
  if (command.state === "QUEUED") {
    turn.finalize(command, "CANCELLED", { error: commandError("BY_OPERATOR", "cancelled before it was sent") }, "platform");
  } else if (!isFinal(command.state)) {
    command.cancelling = true;
    sendCancel(turn, command);
    turn.save(command);
  }
  turn.answer(answerTo, { command: turn.view(command) });
}

function gatewayView(state: GatewayState): { readonly [member: string]: unknown } {
  const { link, meta } = state;
  return {
    known: meta !== null,
    gateway: {
      id: state.gateway,
      group: state.group,
      clientId: state.clientId,
      state: link.state,
      since: link.sinceMs || null,
      lastSeen: link.lastSeenAt || null,
      clientIp: link.clientIp || null,
      firstSeen: meta?.firstSeenAt ?? null,
      agent: meta?.hello?.agent ?? null,
      methods: meta?.hello?.methods ?? null,
      queued: state.queued.length,
      running: state.active.size,
    },
  };
}
