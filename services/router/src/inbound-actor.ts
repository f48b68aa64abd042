/**
 * An inbound rule to an actor service: the message goes to the owner of its device's shard as it
 * came, and RocketMQ is acknowledged when the owner has durably accepted it or has refused it for
 * good (it has answered the caller itself then). A message that names no device goes to the device
 * `unknown` of its group, so that the same service can tell its caller.
 */
import type { InboundActorRule } from "@hawser/catalog";
import { parseClientId } from "@hawser/rules";
import type { ReceivedMessage, Settle } from "@hawser/rocketmq";
import { attributes, counter, failSpan, metricNames, type Span, SpanKind, spanName, spanNames, startEdgeSpan, systems, traceparentOf } from "@hawser/telemetry";
import { ActorVerb, decodeAnswer, encodeFrame, shardOf, type SubmitHead } from "@hawser/wire";
import { type InboundContext, whenItMayAct } from "./inbound-context.ts";

const UNKNOWN = "unknown";
const CALL_OPTIONS = { timeoutMs: 5000, patienceMs: 10_000 } as const;
const BUSY_RETRIES = 6;
const BUSY_RETRY_MS = 100;
/** More than any service takes, and well below NATS's limit: the rest would only be refused. */
const MAX_BODY_BYTES = 262_144;

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

  take(batch: readonly ReceivedMessage[], settle: Settle): void {
    whenItMayAct(this.#context, () => batch.forEach((message, index) => this.#submit(message, (ok) => settle(index, ok))));
  }

  #submit(message: ReceivedMessage, done: (ok: boolean) => void): void {
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
    this.#call(shardOf(this.#instance, clientId, this.#context.shards), encodeFrame(ActorVerb.submit, head, message.body.subarray(0, MAX_BODY_BYTES)), span, 0, done);
  }

  #call(shard: number, frame: Buffer, span: Span | null, attempt: number, done: (ok: boolean) => void): void {
    const caller = this.#context.callerOf(this.#rule.service);
    if (!caller) return this.#end(span, "no-service", false, done);
    caller.call(shard, frame, CALL_OPTIONS, (error, bytes) => {
      if (error) return this.#end(span, error.kind, false, done);
      const answer = decodeAnswer(bytes);
      if (answer.ok) return this.#end(span, "accepted", true, done);
      if (answer.code === "refused") {
        this.#context.log.warn({ rule: this.#rule.id, shard, reason: answer.reason }, "an actor refused a message of RocketMQ");
        return this.#end(span, "refused", true, done);
      }
      if (attempt >= BUSY_RETRIES) return this.#end(span, answer.code, false, done);
      setTimeout(() => this.#call(shard, frame, span, attempt + 1, done), BUSY_RETRY_MS * 2 ** attempt);
    });
  }

  #end(span: Span | null, outcome: string, ok: boolean, done: (ok: boolean) => void): void {
    counter(metricNames.rocketmqReceived, { rule: this.#rule.id, outcome }).add(1);
    if (outcome === "accepted") span?.end();
    else failSpan(span, outcome);
    done(ok);
  }
}
