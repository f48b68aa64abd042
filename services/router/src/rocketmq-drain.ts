/**
 * The log into RocketMQ: what the rules of a record's destinations say, what actors have made ready,
 * and presence events of status rules. An entry is finished when each of its messages is stored by
 * RocketMQ or set aside.
 *
 * A rule that is not in the catalogue is waited for: its record may be older than this process's
 * copy of the catalogue. After a while the rule counts as deleted, and its messages with it.
 */
import type { CatalogReader, InboundRule, OutboundRule, StatusRule } from "@hawser/catalog";
import { errorLine } from "@hawser/errors";
import { legalProperties, type OutgoingMessage, type RocketMqSender, type SendOutcome } from "@hawser/rocketmq";
import { attributes, counter, failSpan, type Logger, metricNames, type Span, SpanKind, spanName, spanNames, startSpan, systems, traceparentOf } from "@hawser/telemetry";
import {
  decodeEnvelope,
  decodePresenceEvent,
  decodeRocketMqMessage,
  encodeTraceparent,
  type LogEntry,
  type LogRecord,
  RecordKind,
} from "@hawser/wire";
import type { DeadLetters } from "./dead-letters.ts";
import type { Drain, DrainContext } from "./drain.ts";
import { EntryWork } from "./entry-work.ts";
import { type MessageParts, presenceMessage, publishMessage } from "./outbound-message.ts";

/** A message on its way, with the entry it belongs to. */
export interface RoutedMessage extends OutgoingMessage {
  readonly drain: RocketMqDrain;
  readonly work: EntryWork;
  readonly instance: string;
  /** Empty: a ready message. */
  readonly rule: string;
  readonly span: Span | null;
}

export interface RocketMqDrainOptions extends DrainContext {
  readonly cluster: string;
  readonly sender: RocketMqSender<RoutedMessage>;
  readonly catalog: CatalogReader;
  readonly deadLetters: DeadLetters;
  readonly log: Logger;
  readonly ruleWaitMs?: number;
}

interface WaitingRecord {
  readonly record: LogRecord;
  readonly rule: string;
  readonly work: EntryWork;
  readonly sinceMs: number;
}

const RULE_WAIT_MS = 10_000;
const LOOK_AGAIN_MS = 200;
/** Entries open at which missing topics may not hold messages any longer: the reader pauses at 64. */
const CROWDED_ENTRIES = 48;
const NO_CLUSTER = 0;

export class RocketMqDrain implements Drain {
  readonly #options: RocketMqDrainOptions;
  readonly #sent = new Map<string, { readonly sent: { add(n: number): void }; readonly refused: { add(n: number): void } }>();
  #waiting: WaitingRecord[] = [];
  #held: RoutedMessage[] = [];
  readonly #timer: NodeJS.Timeout;
  #stopped = false;
  open = 0;

  constructor(options: RocketMqDrainOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#lookAgain(), LOOK_AGAIN_MS);
  }

  get mayAct(): boolean {
    return !this.#stopped && this.#options.mayAct();
  }

  take(entry: LogEntry, sequence: number): void {
    this.open++;
    const work = new EntryWork(sequence, (finished) => {
      this.open--;
      this.#options.finished(finished);
    });
    const nowMs = performance.now();
    for (const record of entry.records) {
      if (record.kind === RecordKind.message) this.#guard(record, () => this.#ready(record, work));
      else for (const rule of record.destinations.rules) this.#guard(record, () => this.#byRule(record, rule, work, nowMs));
    }
    work.end();
  }

  /** A record that cannot be read must not stop the log. */
  #guard(record: LogRecord, act: () => void): void {
    try {
      act();
    } catch (error) {
      counter(metricNames.rocketmqSent, { rule: "", outcome: "unreadable" }).add(1);
      this.#options.log.error({ kind: record.kind, instance: record.destinations.instance, problem: errorLine(error) }, "record of the log cannot be read");
    }
  }

  #byRule(record: LogRecord, id: string, work: EntryWork, sinceMs: number): void {
    const { instance } = record.destinations;
    const rule = this.#options.catalog.instance(instance)?.rule(id);
    if (rule === undefined || !fits(rule, record)) {
      if (performance.now() - sinceMs < (this.#options.ruleWaitMs ?? RULE_WAIT_MS)) {
        work.begin();
        this.#waiting.push({ record, rule: id, work, sinceMs });
        return;
      }
      counter(metricNames.rocketmqSent, { rule: id, outcome: "no-rule" }).add(1);
      this.#options.log.warn({ instance, rule: id }, "the rule does not exist any more: its message is dropped");
      return;
    }
    // another consumer of the log drains the other clusters
    if (rule.cluster !== this.#options.cluster) return;
    if (rule.kind === "outbound") this.#publish(record, rule, work);
    else this.#send({ ...presenceMessage(decodePresenceEvent(record.body), rule) }, instance, id, work, null);
  }

  #publish(record: LogRecord, rule: OutboundRule, work: EntryWork): void {
    const envelope = decodeEnvelope(record.body);
    const { instance } = record.destinations;
    const span = this.#startSpan(rule.topic, rule.id, envelope.trace);
    const { message, dropped, encoded, expired } = publishMessage(envelope, rule, traceparentOf(span), Date.now());
    countDropped(dropped);
    if (encoded > 0) counter(metricNames.propertiesEncoded).add(encoded);
    if (expired) {
      counter(metricNames.expiredDropped, { where: "rocketmq" }).add(1);
      failSpan(span, "expired");
      return;
    }
    this.#send(message, instance, rule.id, work, span);
  }

  /** As its actor made it, but for what RocketMQ would refuse and for the trace, which goes on here. */
  #ready(record: LogRecord, work: EntryWork): void {
    const { cluster, ...message } = decodeRocketMqMessage(record.body);
    const { instance } = record.destinations;
    const { properties, dropped, encoded } = legalProperties(message.properties);
    if (dropped > 0) counter(metricNames.propertiesDropped, { direction: "outbound", reason: "illegal" }).add(dropped);
    if (encoded > 0) counter(metricNames.propertiesEncoded).add(encoded);
    if (cluster !== this.#options.cluster) {
      const reason = `RocketMQ cluster ${cluster} is not known`;
      return this.#setAside({ ...message, properties }, instance, "", work, NO_CLUSTER, reason, cluster);
    }
    const parent = properties.find(([key]) => key === "traceparent")?.[1];
    const span = parent === undefined ? null : this.#startSpan(message.topic, "", encodeTraceparent(parent));
    const own = traceparentOf(span);
    const traced = own === null ? properties : properties.map((property) => (property[0] === "traceparent" ? (["traceparent", own] as const) : property));
    this.#send({ ...message, properties: traced }, instance, "", work, span);
  }

  #startSpan(topic: string, rule: string, parent: Buffer | null): Span | null {
    if (parent === null) return null;
    return startSpan(spanName(spanNames.rocketmqSend, { rocketmqTopic: topic }), SpanKind.PRODUCER, parent, {
      [attributes.system]: systems.rocketmq,
      [attributes.operationName]: "send",
      [attributes.operationType]: "send",
      [attributes.destination]: topic,
      [attributes.partition]: String(this.#options.partition),
      ...(rule !== "" && { [attributes.rule]: rule }),
    });
  }

  #send({ topic, body, properties, tag, keys, group }: MessageParts, instance: string, rule: string, work: EntryWork, span: Span | null): void {
    work.begin();
    this.#options.sender.send({ topic, body, properties, tag, keys, group, drain: this, work, instance, rule, span }, settle);
  }

  settled(outcome: SendOutcome, message: RoutedMessage): void {
    const { rule, instance, work, span } = message;
    if (outcome.kind === "abandoned") {
      // mine, but not sure of it just now: again when I am
      if (!this.#stopped) this.#held.push(message);
      return;
    }
    const counters = this.#counters(rule);
    if (outcome.kind === "sent") {
      counters.sent.add(1);
      span?.end();
      work.end();
      return;
    }
    // somebody else's now: the next owner finds out for itself
    if (this.#stopped) return;
    counters.refused.add(1);
    failSpan(span, String(outcome.code), outcome.reason);
    this.#setAside(message, instance, rule, work, outcome.code, outcome.reason, this.#options.cluster);
    work.end();
  }

  #counters(rule: string) {
    let known = this.#sent.get(rule);
    if (!known) {
      known = { sent: counter(metricNames.rocketmqSent, { rule, outcome: "sent" }), refused: counter(metricNames.rocketmqSent, { rule, outcome: "refused" }) };
      this.#sent.set(rule, known);
    }
    return known;
  }

  #setAside(message: MessageParts, instance: string, rule: string, work: EntryWork, code: number, reason: string, cluster: string): void {
    const { topic, tag, keys, group, properties, body } = message;
    const head = { instance, rule, partition: this.#options.partition, sequence: work.sequence, code, reason, atMs: Date.now() };
    work.begin();
    this.#options.deadLetters.add(head, { cluster, topic, tag, keys, group, properties, body }, () => work.end());
  }

  #lookAgain(): void {
    if (this.#stopped) return;
    if (this.#waiting.length > 0) {
      const waiting = this.#waiting;
      this.#waiting = [];
      for (const { record, rule, work, sinceMs } of waiting) {
        this.#guard(record, () => this.#byRule(record, rule, work, sinceMs));
        work.end();
      }
    }
    if (this.#held.length > 0 && this.#options.mayAct()) {
      const held = this.#held;
      this.#held = [];
      for (const message of held) this.#options.sender.send(message, settle);
    }
    if (this.open >= CROWDED_ENTRIES) this.#options.sender.refuseParked();
  }

  stop(): void {
    this.#stopped = true;
    clearInterval(this.#timer);
  }
}

/** One function for all messages: what it needs is in the message. */
function settle(outcome: SendOutcome, message: RoutedMessage): void {
  message.drain.settled(outcome, message);
}

function fits(rule: OutboundRule | InboundRule | StatusRule, record: LogRecord): rule is OutboundRule | StatusRule {
  return rule.kind === (record.kind === RecordKind.presence ? "status" : "outbound");
}

const DROP_REASONS = ["reserved", "illegal", "repeated", "limit"] as const;

function countDropped(dropped: Readonly<Record<(typeof DROP_REASONS)[number], number>>): void {
  for (const reason of DROP_REASONS) {
    if (dropped[reason] > 0) counter(metricNames.propertiesDropped, { direction: "outbound", reason }).add(dropped[reason]);
  }
}
