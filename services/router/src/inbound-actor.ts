/**
 * An inbound rule to an actor service: the message goes to the owner of its device's shard as it
 * came, and RocketMQ is acknowledged when the owner has durably accepted it or has refused it for
 * good (it has answered the caller itself then). A message that names no device goes to the device
 * `unknown` of its group, so that the same service can tell its caller.
 *
 * Messages of a message group arrive together. Those of one device in a row go to its owner in one
 * request, which its mailbox takes in order: one wait for the durable answer, and not one per message
 * while RocketMQ keeps the queue closed. What follows a message that was not accepted waits with it.
 */
import type { InboundActorRule } from "@hawser/catalog";
import { parseClientId } from "@hawser/rules";
import type { ReceivedMessage, Settle } from "@hawser/rocketmq";
import { attributes, counter, failSpan, metricNames, type Span, SpanKind, spanName, spanNames, startEdgeSpan, systems, traceparentOf } from "@hawser/telemetry";
import { ActorVerb, type Answer, decodeAnswer, encodeFrame, encodeSubmitAll, shardOf, type SubmitHead } from "@hawser/wire";
import { type InboundContext, whenItMayAct } from "./inbound-context.ts";

const UNKNOWN = "unknown";
const CALL_OPTIONS = { timeoutMs: 5000, patienceMs: 10_000 } as const;
const BUSY_RETRIES = 6;
const BUSY_RETRY_MS = 100;
/** More than any service takes, and well below NATS's limit: the rest would only be refused. */
const MAX_BODY_BYTES = 262_144;
/** Of several messages in one request: well below NATS's limit of 1 MiB. */
const MAX_ROW_BYTES = 524_288;

interface Submit {
  readonly clientId: string;
  readonly frame: Buffer;
  readonly span: Span | null;
  readonly done: (ok: boolean) => void;
}

/** The Client ID a message is for. */
export function addresseeOf(rule: InboundActorRule, properties: Readonly<Record<string, string>>, defaultGroup: string | undefined): string {
  const group = (rule.groupProperty !== null && properties[rule.groupProperty]) || rule.group || defaultGroup || UNKNOWN;
  const device = properties[rule.deviceProperty] || UNKNOWN;
  const clientId = `${group}@@@${device}`;
  return parseClientId(clientId).ok ? clientId : `${parseClientId(`${group}@@@x`).ok ? group : (rule.group ?? defaultGroup ?? UNKNOWN)}@@@${UNKNOWN}`;
}

export class InboundActor {
  readonly #context: InboundContext;
  readonly #instance: string;
  readonly #rule: InboundActorRule;
  readonly #spanName: string;

  constructor(context: InboundContext, instance: string, rule: InboundActorRule) {
    this.#context = context;
    this.#instance = instance;
    this.#rule = rule;
    this.#spanName = spanName(spanNames.rocketmqReceive, { rocketmqTopic: rule.topic });
  }

  take(batch: readonly ReceivedMessage[], settle: Settle, ordered: boolean): void {
    whenItMayAct(this.#context, () => this.#take(batch, settle, ordered));
  }

  #take(batch: readonly ReceivedMessage[], settle: Settle, ordered: boolean): void {
    const submits = batch.map((message, index) => this.#submitOf(message, (ok) => settle(index, ok)));
    if (ordered) this.#next(submits);
    else for (const submit of submits) this.#send([submit], 0, () => {});
  }

  /** The first of those, and all after it that go to the same actor with it. */
  #next(submits: readonly Submit[]): void {
    const first = submits[0];
    if (!first) return;
    let count = 1;
    for (let sizeBytes = first.frame.length; count < submits.length && submits[count]!.clientId === first.clientId; count++) {
      sizeBytes += submits[count]!.frame.length;
      if (sizeBytes > MAX_ROW_BYTES) break;
    }
    this.#send(submits.slice(0, count), 0, (accepted) => {
      if (accepted) this.#next(submits.slice(count));
      else for (const submit of submits.slice(count)) this.#end(submit, "held-back", false);
    });
  }

  #submitOf(message: ReceivedMessage, done: (ok: boolean) => void): Submit {
    const rule = this.#rule;
    const clientId = addresseeOf(rule, message.properties, this.#context.catalog.instance(this.#instance)?.csg?.group);
    const span = startEdgeSpan(this.#spanName, SpanKind.CONSUMER, message.properties["traceparent"] ?? null, {
      [attributes.system]: systems.rocketmq,
      [attributes.operationName]: "receive",
      [attributes.operationType]: "receive",
      [attributes.destination]: rule.topic,
      [attributes.consumerGroup]: rule.consumerGroup,
      [attributes.messageId]: message.messageId,
      [attributes.rule]: rule.id,
    });
    const head: SubmitHead = {
      instance: this.#instance,
      clientId,
      properties: message.properties,
      tag: message.tag,
      keys: message.keys,
      messageId: message.messageId,
      bornAtMs: message.bornAtMs,
      traceparent: traceparentOf(span) ?? "",
    };
    return { clientId, frame: encodeFrame(ActorVerb.submit, head, message.body.subarray(0, MAX_BODY_BYTES)), span, done };
  }

  /** @param done false: the last of the row was not accepted */
  #send(row: readonly Submit[], attempt: number, done: (accepted: boolean) => void): void {
    const caller = this.#context.callerOf(this.#rule.service);
    if (!caller) return this.#fail(row, "no-service", done);
    const { clientId, frame } = row[0]!;
    const request = row.length === 1 ? frame : encodeFrame(ActorVerb.submitAll, null, encodeSubmitAll(row.map((submit) => submit.frame)));
    caller.call(shardOf(this.#instance, clientId, this.#context.shards), request, CALL_OPTIONS, (error, bytes) => {
      if (error) return this.#fail(row, error.kind, done);
      const answer = decodeAnswer<Partial<{ readonly answers: readonly Answer[] }>>(bytes);
      if (row.length === 1) return this.#answered(row, [answer], attempt, done);
      if (answer.ok && answer.answers) return this.#answered(row, answer.answers, attempt, done);
      if (!answer.ok && answer.code !== "refused") return this.#answered(row, [answer], attempt, done);
      // an owner that does not know rows, or a message that spoils this one
      this.#oneByOne(row, done);
    });
  }

  #oneByOne(row: readonly Submit[], done: (accepted: boolean) => void): void {
    this.#send(row.slice(0, 1), 0, (accepted) => {
      if (!accepted) this.#fail(row.slice(1), "held-back", done);
      else if (row.length === 1) done(true);
      else this.#oneByOne(row.slice(1), done);
    });
  }

  #answered(row: readonly Submit[], answers: readonly Answer[], attempt: number, done: (accepted: boolean) => void): void {
    let at = 0;
    for (; at < answers.length && at < row.length; at++) {
      const answer = answers[at]!;
      if (answer.ok) this.#end(row[at]!, "accepted", true);
      else if (answer.code !== "refused") break;
      else {
        this.#context.log.warn({ rule: this.#rule.id, actor: row[at]!.clientId, reason: answer.reason }, "an actor refused a message of RocketMQ");
        this.#end(row[at]!, "refused", true);
      }
    }
    if (at === row.length) return done(true);
    const rest = row.slice(at);
    const attempts = at === 0 ? attempt + 1 : 1;
    if (attempts > BUSY_RETRIES) {
      const last = answers[at];
      return this.#fail(rest, last?.ok === false ? last.code : "busy", done);
    }
    setTimeout(() => this.#send(rest, attempts, done), BUSY_RETRY_MS * 2 ** (attempts - 1));
  }

  /** The first for that reason, the others because of it. */
  #fail(row: readonly Submit[], outcome: string, done: (accepted: boolean) => void): void {
    row.forEach((submit, at) => this.#end(submit, at === 0 ? outcome : "held-back", false));
    done(false);
  }

  #end({ span, done }: Submit, outcome: string, ok: boolean): void {
    counter(metricNames.rocketmqReceived, { rule: this.#rule.id, outcome }).add(1);
    if (outcome === "accepted") span?.end();
    else failSpan(span, outcome);
    done(ok);
  }
}
