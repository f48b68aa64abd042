/**
 * Requests on `a.csg.<shard>.<epoch>`: uplink, submit, submits in order, presence, ask. Each is answered when its turn
 * is safe. A request for a shard or epoch that is not ours is answered `fenced`; one that makes no
 * sense is answered ok, counted and logged: sending it again would not make it better.
 */
import type { ActorKey } from "@hawser/actors";
import type { BusMessage } from "@hawser/bus";
import { commandError, httpStatusOf, isUuid, parseUplink, problemOf } from "@hawser/csg-protocol";
import { errorLine } from "@hawser/errors";
import {
  attributes,
  counter,
  type Logger,
  metricNames,
  type Span,
  SpanKind,
  spanName,
  spanNames,
  startSpan,
  traceparentOf,
} from "@hawser/telemetry";
import {
  ActorVerb,
  type Answer,
  ByteReader,
  decodeEnvelope,
  decodeFrame,
  decodePresenceEvent,
  decodeSubmitAll,
  decodeTraceparent,
  decodeUplink,
  encodeAnswer,
  encodeTraceparent,
  type Envelope,
  type Frame,
  type SubmitHead,
} from "@hawser/wire";
import { type Ask, askSchema } from "./asks.ts";
import { type GatewayActors, nameOf } from "./gateway-actors.ts";
import { checkRequest, type ParsedRequest, parseSubmit, type RequestDefaults } from "./parse-request.ts";
import type { RocketMqOutbox } from "./rocketmq-outbox.ts";

export interface RequestsOptions {
  readonly actors: GatewayActors;
  readonly outbox: RocketMqOutbox;
  readonly defaults: RequestDefaults;
  readonly epochOf: (shard: number) => number;
  readonly mayServe: () => boolean;
  readonly log: Logger;
  readonly now: () => number;
}

type Respond = (answer: Answer<{ readonly [member: string]: unknown }>) => void;
type Failed = ParsedRequest & { readonly ok: false };
const FENCED = { ok: false, code: "fenced", reason: "not the owner" } as const;

export class OwnerRequests {
  readonly #options: RequestsOptions;

  constructor(options: RequestsOptions) {
    this.#options = options;
  }

  handle(shard: number, epoch: number, message: BusMessage): void {
    const respond: Respond = (answer) => void message.respond(encodeAnswer(answer));
    if (!this.#options.mayServe() || this.#options.epochOf(shard) !== epoch) return respond(FENCED);
    try {
      this.#dispatch(decodeFrame(message.data), shard, respond);
    } catch (error) {
      this.#bad("malformed", { problem: errorLine(error) }, respond);
    }
  }

  #dispatch(frame: Frame, shard: number, respond: Respond): void {
    switch (frame.verb) {
      case ActorVerb.uplink:
        return this.#uplink(frame.body, shard, respond);
      case ActorVerb.submit:
        return this.#submit(frame.head as SubmitHead, frame.body, shard, respond);
      case ActorVerb.submitAll:
        return this.#submitAll(decodeSubmitAll(frame.body).map(decodeFrame), shard, respond);
      case ActorVerb.presence: {
        const reader = new ByteReader(frame.body);
        const instance = reader.shortText();
        const event = decodePresenceEvent(reader.rest());
        const key = this.#key(instance, event.clientId, shard, respond);
        if (key) this.#options.actors.ask(key, (answerTo) => ({ kind: "presence", event, answerTo }), respond);
        return;
      }
      case ActorVerb.ask: {
        const ask = askSchema.safeParse(frame.head);
        if (!ask.success) return respond({ ok: false, code: "refused", reason: ask.error.issues[0]?.message ?? "bad ask" });
        return this.#ask(ask.data, frame.body, shard, respond);
      }
      default:
        return respond({ ok: false, code: "refused", reason: `verb ${frame.verb} is not known` });
    }
  }

  #key(instance: string, clientId: string, shard: number, respond: Respond): ActorKey | null {
    const key = this.#options.actors.keyOf(instance, clientId);
    if (key.shard === shard) return key;
    respond({ ok: false, code: "refused", reason: `${clientId} is of shard ${key.shard}` });
    return null;
  }

  #bad(reason: string, details: object, respond: Respond): void {
    counter(metricNames.badUplinks, { reason }).add(1);
    this.#options.log.warn({ reason, ...details }, "message ignored");
    respond({ ok: true, ignored: reason });
  }

  #uplink(body: Buffer, shard: number, respond: Respond): void {
    const uplink = decodeUplink(body);
    const envelope = decodeEnvelope(uplink.envelope);
    const key = this.#key(uplink.instance, envelope.sender, shard, respond);
    if (!key) return;
    const gateway = envelope.topic.split("/")[1];
    if (gateway !== nameOf(key.clientId).gateway) {
      counter(metricNames.foreignAnswers).add(1);
      this.#options.log.warn({ audit: true, what: "foreign-answer", gateway: key.clientId, topic: envelope.topic }, "a gateway speaks for another one");
      return respond({ ok: false, code: "refused", reason: "the topic names another gateway" });
    }
    const parsed = parseUplink(envelope.payload);
    if (!parsed.ok) return this.#bad("not-an-envelope", { gateway: key.clientId, topic: envelope.topic, problem: parsed.problem }, respond);
    const message = parsed.value;
    const context = contextOf(envelope, "traceparent" in message ? message.traceparent : undefined);
    const span = startSpan(spanName(spanNames.uplink, { service: "csg", shard }), SpanKind.CONSUMER, context, {
      [attributes.gatewayId]: gateway,
      "csg.message": message.k,
      ...("id" in message ? { [attributes.conversationId]: message.id } : {}),
    });
    const { publishedAtMs: publishedAt } = envelope;
    const traceparent = traceparentOf(span) ?? "";
    this.#options.actors.ask(key, (answerTo) => ({ kind: "uplink", message, publishedAt, traceparent, answerTo }), ending(span, respond));
  }

  #submit(head: SubmitHead, body: Buffer, shard: number, respond: Respond): void {
    const key = this.#key(head.instance, head.clientId, shard, respond);
    if (!key) return;
    this.#take(key, parseSubmit(head, body, this.#options.defaults), head.traceparent, (failure) => this.#refuse(key, failure, head.traceparent, respond), respond);
  }

  /** Their turns come in order, their records are written together. Each mailbox keeps the order; what it has no room for ends the row. */
  #submitAll(submits: readonly Frame[], shard: number, respond: Respond): void {
    const answers: Answer[] = [];
    let waiting = 1;
    let stopped = false;
    const answered = (): void => {
      // none taken: the caller hears it as it would of one, and waits for the next owner when it is fenced
      if (--waiting === 0) respond(stopped && answers.length === 1 ? answers[0]! : { ok: true, answers });
    };
    for (let at = 0; at < submits.length && !stopped; at++) {
      const { head, body } = submits[at]!;
      waiting++;
      this.#submit(head as SubmitHead, body, shard, (answer) => {
        answers[at] = answer;
        stopped ||= !answer.ok && answer.code !== "refused";
        answered();
      });
    }
    answered();
  }

  #take(key: ActorKey, parsed: ParsedRequest, parent: string, onBad: (failure: Failed) => void, respond: Respond): void {
    if (!parsed.ok) return onBad(parsed);
    const { method, id } = parsed.request;
    const span = startSpan(spanName(spanNames.command, { method }), SpanKind.CONSUMER, parent === "" ? null : encodeTraceparent(parent), {
      [attributes.gatewayId]: nameOf(key.clientId).gateway,
      [attributes.conversationId]: id,
      [attributes.method]: method,
    });
    const request = { ...parsed.request, traceparent: traceparentOf(span) ?? "" };
    this.#options.actors.ask(key, (answerTo) => ({ kind: "submit", request, answerTo }), ending(span, respond));
  }

  /** A request of RocketMQ that no command can be made of: its caller gets a final reply, RocketMQ an acknowledgement. */
  #refuse(key: ActorKey, { error, parts }: Failed, traceparent: string, respond: Respond): void {
    counter(metricNames.commands, { state: "REJECTED", code: error.code }).add(1);
    const { reason, message: detail } = error;
    this.#options.log.warn({ audit: true, what: "request-refused", gateway: key.clientId, command: parts.id, reason, detail }, "request refused");
    if (parts.reply === "none") return respond({ ok: true, outcome: "refused", error });
    this.#options.outbox.reply(
      key,
      nameOf(key.clientId),
      {
        ...parts,
        kind: "final",
        n: 1,
        status: httpStatusOf[error.code],
        code: error.code,
        reason: error.reason,
        origin: "platform",
        late: false,
        body: problemOf(error, isUuid(parts.id) ? parts.id : undefined),
        problem: true,
        topic: parts.replyTopic,
        traceparent,
      },
      (stored) => respond(stored ? { ok: true, outcome: "refused", error } : { ok: false, code: "busy", reason: "the log did not take the reply" }),
    );
  }

  #ask(ask: Ask, body: Buffer, shard: number, respond: Respond): void {
    const key = this.#key(ask.instance, ask.clientId, shard, respond);
    if (!key) return;
    const { actors, defaults, now } = this.#options;
    switch (ask.op) {
      case "submit": {
        const params = parseJson(body);
        const parts = { ...ask, params, echo: [], bornAt: now(), queueTtlMs: ask.queueTtlMs, deadlineMs: ask.deadlineMs };
        const notJson = { ok: false, error: commandError("PARAM_NOT_JSON", "params are not JSON"), parts } as const;
        const parsed: ParsedRequest = params === undefined ? notJson : checkRequest(parts, defaults);
        return this.#take(key, parsed, ask.traceparent, ({ error }) => respond({ ok: true, outcome: "refused", error }), respond);
      }
      case "get":
      case "cancel": {
        const { op: kind, id } = ask;
        return actors.ask(key, (answerTo) => ({ kind, id, answerTo }), respond);
      }
      case "list":
        return actors.ask(key, (answerTo) => ({ kind: "list", limit: ask.limit, answerTo }), respond);
      case "gateway":
        return actors.describe(key, respond);
    }
  }
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString()) as unknown;
  } catch {
    return undefined;
  }
}

/**
 * The context an uplink continues: what the ingress saw, when it belongs to the gateway's own trace
 * (MQTT 5), else what the gateway wrote into the body (3.1.1 has no other place).
 */
function contextOf(envelope: Envelope, traceparent: string | undefined): Buffer | null {
  const own = traceparent === undefined ? null : encodeTraceparent(traceparent);
  if (own === null) return envelope.trace;
  const sameTrace = envelope.trace !== null && decodeTraceparent(envelope.trace).slice(3, 35) === traceparent!.slice(3, 35);
  return sameTrace ? envelope.trace : own;
}

function ending(span: Span | null, respond: Respond): Respond {
  if (span === null) return respond;
  return (answer) => {
    if (!answer.ok) span.setAttribute(attributes.errorType, answer.code);
    span.end();
    respond(answer);
  };
}
