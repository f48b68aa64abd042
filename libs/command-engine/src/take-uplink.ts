/** What a gateway says: accepted, progress, the end of a command, hello. */
import {
  commandError,
  type CommandError,
  type CommandState,
  type HelloMessage,
  isFinal,
  type ResponseMessage,
  type UplinkMessage,
} from "@hawser/csg-protocol";
import type { Command } from "./command.ts";
import { flushAcks, maySend, pump, query, send } from "./dispatch.ts";
import type { GatewayTurn } from "./gateway-turn.ts";
import { seen } from "./take-link.ts";

const NEVER = Number.POSITIVE_INFINITY;

export function takeUplink(turn: GatewayTurn, message: UplinkMessage, traceparent: string, answerTo: number): void {
  seen(turn);
  switch (message.k) {
    case "acc":
    case "prog":
    case "res": {
      const command = turn.state.commands.get(message.id);
      if (!command) {
        turn.emit({ kind: "audit", what: "foreign-answer", id: message.id, detail: `${message.k} for a command that is not of ${turn.state.gateway}` });
        if (message.k === "res") turn.acknowledge(message.id);
        turn.answer(answerTo, { ignored: "foreign" });
        return;
      }
      if (message.k === "res") takeResponse(turn, command, message, traceparent);
      else if (!isFinal(command.state)) takeProgress(turn, command, message, traceparent);
      break;
    }
    case "hello":
      takeHello(turn, message);
      break;
    case "reported":
      turn.emit({ kind: "audit", what: "reported-ignored", id: "", detail: `section ${message.section}: desired state is not kept yet` });
      break;
  }
  pump(turn);
  turn.answer(answerTo);
}

function takeProgress(turn: GatewayTurn, command: Command, message: UplinkMessage & { k: "acc" | "prog" }, traceparent: string): void {
  const { live } = command;
  const first = !command.taken;
  taken(turn, command);
  if (command.state === "IN_DOUBT") {
    // it runs after all: the gateway's own deadline will end it
    turn.enter(command, "RUNNING");
    live.doubtReplyAt = NEVER;
    live.execDeadlineAt = turn.now + turn.settings.stepTimeoutMs + turn.settings.inDoubtGraceMs;
  }
  if (command.lane === "task") live.stepDeadlineAt = turn.now + turn.settings.stepTimeoutMs + turn.settings.inDoubtGraceMs;
  turn.advance(command, "ACCEPTED");
  if (first) turn.tell(command, "accepted", 0, { stage: "accepted" }, traceparent);
  if (message.k === "acc") return;
  turn.advance(command, "RUNNING");
  if (command.progress && message.n <= command.progress.n) return;
  const { n, pct, stage, msg } = message;
  command.progress = { n, ...(pct === undefined ? {} : { pct }), ...(stage === undefined ? {} : { stage }), ...(msg === undefined ? {} : { msg }) };
  turn.tell(command, "progress", n, command.progress, traceparent);
  turn.emit({ kind: "command-event", command: turn.view(command) });
}

function taken(turn: GatewayTurn, command: Command): void {
  const { live } = command;
  command.taken = true;
  live.resends = 0;
  live.resendAt = command.cancelling ? turn.now + turn.settings.deliveryTimeoutMs : NEVER;
  if (live.execDeadlineAt === NEVER) live.execDeadlineAt = turn.now + command.execMs;
  if (command.lane === "config") turn.state.configTaken = Math.max(turn.state.configTaken, command.seq);
}

function takeResponse(turn: GatewayTurn, command: Command, message: ResponseMessage, traceparent: string): void {
  const { error } = message;
  if (error?.reason === "NEVER_SEEN") {
    neverSeen(turn, command, error);
    return;
  }
  turn.acknowledge(message.id);
  if (traceparent !== "" && !isFinal(command.state)) command.replyTraceparent = traceparent;
  command.taken = true;
  if (command.lane === "config") turn.state.configTaken = Math.max(turn.state.configTaken, command.seq);
  if (!error) {
    command.progress = null;
    turn.finalize(command, "SUCCEEDED", { result: message.result ?? null }, "device");
  } else {
    turn.finalize(command, stateOfError(error), { error }, "device");
  }
}

const refusals: ReadonlySet<string> = new Set(["INVALID_ARGUMENT", "UNIMPLEMENTED", "RESOURCE_EXHAUSTED"]);

function stateOfError(error: CommandError): CommandState {
  if (error.code === "CANCELLED") return "CANCELLED";
  if (error.code === "UNKNOWN") return "UNKNOWN";
  if (error.reason === "NOT_ACCEPTED") return "EXPIRED";
  return refusals.has(error.code) || error.reason === "SEQ_GAP" ? "REJECTED" : "FAILED";
}

/** The gateway swears that it has not run it and never will. Believed only from the disk it was sent to. */
function neverSeen(turn: GatewayTurn, command: Command, error: CommandError): void {
  turn.acknowledge(command.id);
  if (isFinal(command.state)) return;
  const installId = turn.state.meta?.hello?.installId ?? "";
  if (command.taken || command.installId === "" || command.installId !== installId) {
    const detail = command.taken ? "the gateway had accepted it and no longer knows it" : "the gateway has been installed anew since it was sent";
    turn.finalize(command, "UNKNOWN", { error: commandError("IN_DOUBT", detail) }, "platform");
  } else {
    turn.finalize(command, "EXPIRED", { error: commandError("NOT_ACCEPTED", `the gateway did not get it in time: ${error.message}`) }, "device");
  }
}

/** A connection's first word: who runs there, and what its journal holds. Answered by welcome. */
function takeHello(turn: GatewayTurn, hello: HelloMessage): void {
  const { state, now } = turn;
  remember(turn, hello);
  state.link.helloAt = now;
  state.link.awaitHelloUntil = 0;
  const resend: string[] = [];
  const ack: string[] = [];
  const mentioned = new Map(hello.journal.map((member) => [member.id, member]));
  for (const member of hello.journal) {
    if (member.state !== "done") continue;
    const command = state.commands.get(member.id);
    const wanted = command && (!isFinal(command.state) || (command.state === "UNKNOWN" && member.code !== "UNKNOWN"));
    (wanted ? resend : ack).push(member.id);
  }
  turn.emit({ kind: "downlink", tracked: null, method: "", traceparent: "", message: { v: 1, k: "welcome", serverTime: now, resend, ack, desired: {} } });
  for (const command of state.active.values()) {
    const member = mentioned.get(command.id);
    if (member?.state === "done") continue;
    if (command.state === "IN_DOUBT" || (command.taken && !member)) query(turn, command);
    else send(turn, command);
  }
  flushAcks(turn);
}

function remember(turn: GatewayTurn, hello: HelloMessage): void {
  const { state } = turn;
  const meta = state.meta!;
  const before = meta.hello;
  if (before && before.installId !== hello.installId) {
    turn.emit({ kind: "audit", what: "gateway-reinstalled", id: "", detail: `install id ${before.installId} became ${hello.installId}` });
    state.configTaken = hello.high.config;
  } else if (hello.high.config < state.configTaken) {
    turn.emit({ kind: "audit", what: "journal-went-back", id: "", detail: `config seq ${hello.high.config} after ${state.configTaken}: an old disk image?` });
  }
  const { bootId, installId, agent, methods } = hello;
  if (before && before.bootId === bootId && before.installId === installId) return;
  meta.hello = { bootId, installId, agent, methods };
  turn.saveMeta();
}

/** Another try for what waits for an answer and can be sent. */
export function resendNow(turn: GatewayTurn): void {
  if (!maySend(turn)) return;
  for (const command of [...turn.state.active.values()]) {
    if (command.state === "IN_DOUBT") query(turn, command);
    else if (!command.taken) send(turn, command);
  }
}
