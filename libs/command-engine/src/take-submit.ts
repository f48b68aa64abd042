/** A new command, or the same one again. */
import { commandError, type CommandError, isFinal } from "@hawser/csg-protocol";
import { type Command, withLive } from "./command.ts";
import { notDelivered, pump } from "./dispatch.ts";
import { finalReply, type GatewayTurn } from "./gateway-turn.ts";
import type { CommandRequest } from "./machine-messages.ts";

export function takeSubmit(turn: GatewayTurn, request: CommandRequest, answerTo: number): void {
  const known = turn.state.commands.get(request.id);
  if (known) repeated(turn, known, request, answerTo);
  else fresh(turn, request, answerTo);
}

function repeated(turn: GatewayTurn, command: Command, request: CommandRequest, answerTo: number): void {
  if (command.bodyHash !== request.bodyHash) {
    const error = commandError("ID_REUSED", `another command already has the id ${request.id}`);
    // from RocketMQ the answer waits until the refusal is safe in the log: it is stored nowhere else
    if (request.replyTopic !== "" && request.reply !== "none") turn.reject(command, error, request.replyTopic, answerTo);
    else turn.answer(answerTo, { id: request.id, outcome: "conflict", error });
    return;
  }
  // the caller may have missed the reply: at least once
  if (isFinal(command.state) && command.owed === 0 && command.finals > 0) {
    turn.emit({ kind: "reply", reply: finalReply(command), owed: false, answerTo: 0 });
  }
  turn.answer(answerTo, { id: request.id, outcome: "repeated", command: turn.view(command) });
}

function fresh(turn: GatewayTurn, request: CommandRequest, answerTo: number): void {
  const { state, now } = turn;
  const { bornAt, ...rest } = request;
  const born = Math.min(bornAt, now);
  // without a queue time it may still wait for its lane while the gateway is there
  const queueDeadlineAt = born + (request.queueTtlMs > 0 ? request.queueTtlMs : Math.max(0, request.execMs));
  const command = withLive({
    v: 1,
    ...rest,
    order: state.nextOrder++,
    createdAt: now,
    queueDeadlineAt,
    state: "QUEUED",
    attempt: 0,
    seq: 0,
    firstSentAt: 0,
    installId: "",
    taken: false,
    cancelling: false,
    inDoubtSince: 0,
    result: null,
    error: null,
    origin: "platform",
    finalAt: 0,
    owed: 0,
    finals: 0,
    replyTraceparent: "",
    progress: null,
    history: [["QUEUED", now]],
  });
  state.commands.set(command.id, command);
  const refusal = refusalOf(turn, command);
  if (refusal) {
    turn.finalize(command, refusal.code === "DEADLINE_EXCEEDED" ? "EXPIRED" : "REJECTED", { error: refusal }, "platform");
  } else {
    state.queued.push(command);
    pump(turn);
    if (command.state === "QUEUED") {
      turn.save(command);
      turn.emit({ kind: "command-event", command: turn.view(command) });
    }
  }
  turn.answer(answerTo, { id: command.id, outcome: "new", command: turn.view(command) });
}

function refusalOf(turn: GatewayTurn, command: Command): CommandError | null {
  const { state, now, settings } = turn;
  if (!state.meta) return commandError("GATEWAY_NOT_FOUND", `no gateway ${state.gateway} has ever connected as ${state.clientId}`);
  if (command.execMs <= 0 || command.queueDeadlineAt <= now) return notDelivered("its deadline had passed when it arrived");
  if (state.queued.length >= settings.maxQueued) return commandError("QUEUE_FULL", `${settings.maxQueued} commands already wait for ${state.gateway}`);
  if (command.queueTtlMs === 0 && state.link.reachable === "no") return commandError("GATEWAY_OFFLINE", `${state.gateway} is offline`);
  return null;
}
