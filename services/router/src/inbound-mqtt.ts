/**
 * An inbound rule to MQTT. A live message is published once; when its QoS is at least 1 it also goes
 * to the log, for the inboxes of persistent sessions. A P2P message goes to the owner of its
 * receiver's shard. RocketMQ is acknowledged when MQTT has it: the publish has been flushed and the
 * log has the record, or the owner has answered.
 *
 * What cannot be delivered to anybody (a loop, a topic that is none) is acknowledged too, counted
 * and logged: coming again would not make it better.
 */
import type { InboundMqttRule } from "@hawser/catalog";
import type { ReceivedMessage, Settle } from "@hawser/rocketmq";
import { attributes, counter, failSpan, metricNames, type Span, SpanKind, spanContextBytes, spanName, spanNames, startEdgeSpan, systems } from "@hawser/telemetry";
import {
  decodeAnswer,
  type DestinationSet,
  encodeEnvelope,
  encodeFrame,
  encodeP2pRequest,
  type P2pOutcome,
  partitionOf,
  RecordKind,
  SessionVerb,
  shardOf,
  topicSubject,
} from "@hawser/wire";
import { type InboundContext, whenItMayAct } from "./inbound-context.ts";
import { type InboundDecision, type MappedInbound, mapInbound } from "./inbound-message.ts";

const CALL_OPTIONS = { timeoutMs: 5000, patienceMs: 10_000 } as const;

export class InboundMqtt {
  readonly #context: InboundContext;
  readonly #instance: string;
  readonly #rule: InboundMqttRule;
  readonly #destinations: DestinationSet;
  readonly #spanName: string;
  readonly #delivered: { add(count: number): void };

  constructor(context: InboundContext, instance: string, rule: InboundMqttRule) {
    this.#context = context;
    this.#instance = instance;
    this.#rule = rule;
    // never the parent's outbound rules: what comes from RocketMQ does not go back
    this.#destinations = Object.freeze({ instance, rules: [], inbox: true, actor: null });
    this.#spanName = spanName(spanNames.rocketmqReceive, { rocketmqTopic: rule.topic });
    this.#delivered = counter(metricNames.rocketmqReceived, { rule: rule.id, outcome: "delivered" });
  }

  take(batch: readonly ReceivedMessage[], settle: Settle): void {
    whenItMayAct(this.#context, () => this.#take(batch, settle));
  }

  #take(batch: readonly ReceivedMessage[], settle: Settle): void {
    const instance = this.#context.catalog.instance(this.#instance);
    const flushed = new FlushedSettle(this.#context.bus, settle);
    for (let index = 0; index < batch.length; index++) {
      const message = batch[index]!;
      // the instance is going away, and this rule with it: another router, or nobody, has the message
      const decision: InboundDecision | null = instance ? mapInbound(message, this.#rule, instance, this.#context.limits, Date.now()) : null;
      if (decision === null) settle(index, false);
      else if (decision.kind === "drop") this.#drop(message, decision.reason, decision.detail, () => settle(index, true));
      else this.#deliver(message, decision, index, settle, flushed);
    }
    flushed.flush();
  }

  #drop(message: ReceivedMessage, reason: string, detail: string, done: () => void): void {
    const { id: rule, topic } = this.#rule;
    counter(metricNames.rocketmqReceived, { rule, outcome: reason }).add(1);
    if (reason === "loop") counter(metricNames.loopsDropped, { rule }).add(1);
    else if (reason === "expired") counter(metricNames.expiredDropped, { where: "inbound" }).add(1);
    else this.#context.log.warn({ rule, topic, messageId: message.messageId, reason, detail }, "message of RocketMQ dropped");
    done();
  }

  #deliver(message: ReceivedMessage, mapped: MappedInbound, index: number, settle: Settle, flushed: FlushedSettle): void {
    if (mapped.ignored > 0) counter(metricNames.propertiesDropped, { direction: "inbound", reason: "value" }).add(mapped.ignored);
    const span = startEdgeSpan(this.#spanName, SpanKind.CONSUMER, mapped.traceparent, {
      [attributes.system]: systems.rocketmq,
      [attributes.operationName]: "receive",
      [attributes.operationType]: "receive",
      [attributes.destination]: this.#rule.topic,
      [attributes.consumerGroup]: this.#rule.consumerGroup,
      [attributes.messageId]: message.messageId,
      [attributes.rule]: this.#rule.id,
    });
    const envelope = encodeEnvelope({
      origin: this.#context.member,
      sequence: this.#context.nextSequence(),
      publishedAtMs: Date.now(),
      qos: mapped.qos,
      retain: false,
      sender: "",
      persistent: false,
      topic: mapped.topic,
      target: mapped.target,
      trace: spanContextBytes(span),
      properties: mapped.properties,
      payload: message.body,
    });
    if (mapped.target !== null) this.#p2p(mapped.target, mapped.storable, envelope, span, index, settle);
    else this.#live(mapped, envelope, span, index, settle, flushed);
  }

  #live({ topic, qos }: MappedInbound, envelope: Buffer, span: Span | null, index: number, settle: Settle, flushed: FlushedSettle): void {
    const { bus, writer, partitions } = this.#context;
    const end = (ok: boolean): void => {
      if (ok) {
        this.#delivered.add(1);
        span?.end();
      } else failSpan(span, "not-delivered");
    };
    if (!bus.publish(topicSubject(this.#instance, topic), envelope)) {
      end(false);
      return settle(index, false);
    }
    if (qos === 0) return flushed.add(index, end);
    const partition = partitionOf(this.#instance, topic, partitions);
    const record = { kind: RecordKind.publish, destinations: this.#destinations, body: envelope };
    writer.append(partition, record, (outcome) => {
      if (outcome === "stored") flushed.add(index, end);
      else {
        end(false);
        settle(index, false);
      }
    });
  }

  #p2p(target: string, storable: boolean, envelope: Buffer, span: Span | null, index: number, settle: Settle): void {
    const { sessions, shards, log } = this.#context;
    const request = encodeP2pRequest({ instance: this.#instance, storable, receiptTo: "", token: "", envelope });
    sessions.call(shardOf(this.#instance, target, shards), encodeFrame(SessionVerb.p2p, null, request), CALL_OPTIONS, (error, bytes) => {
      const answer = error ? null : decodeAnswer<P2pOutcome>(bytes);
      if (answer !== null && !answer.ok) log.warn({ rule: this.#rule.id, code: answer.code, reason: answer.reason }, "P2P message not taken");
      // unknown: an answer was lost on the way to the inbox or to the ingress
      if (answer?.ok && answer.state !== "unknown") {
        this.#delivered.add(1);
        span?.end();
        return settle(index, true);
      }
      const outcome = answer === null ? "unavailable" : answer.ok ? "unknown" : answer.code;
      counter(metricNames.rocketmqReceived, { rule: this.#rule.id, outcome }).add(1);
      failSpan(span, error ? error.kind : outcome);
      settle(index, outcome === "refused");
    });
  }
}

/** Settles messages when everything published before has reached NATS; one flush for many. */
class FlushedSettle {
  readonly #bus: InboundContext["bus"];
  readonly #settle: Settle;
  #waiting: { readonly index: number; readonly end: (ok: boolean) => void }[] = [];
  #scheduled = false;

  constructor(bus: InboundContext["bus"], settle: Settle) {
    this.#bus = bus;
    this.#settle = settle;
  }

  add(index: number, end: (ok: boolean) => void): void {
    this.#waiting.push({ index, end });
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.flush());
  }

  flush(): void {
    this.#scheduled = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    if (waiting.length === 0) return;
    const all = (ok: boolean): void => {
      for (const { index, end } of waiting) {
        end(ok);
        this.#settle(index, ok);
      }
    };
    this.#bus.flush().then(
      () => all(true),
      () => all(false),
    );
  }
}
