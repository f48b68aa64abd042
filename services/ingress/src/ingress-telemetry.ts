/** What the ingress counts, logs and traces: one place, so that the paths read as the protocol they are. */
import { parentOf, isP2pTopic } from "@hawser/rules";
import {
  attributes,
  counter,
  gauge,
  metricNames,
  shouldSample,
  spanContextBytes,
  SpanKind,
  spanName,
  spanNames,
  startEdgeSpan,
  startRootSpan,
  startSpan,
  systems,
  type Counter,
  type Logger,
  type Metric,
  type Span,
} from "@hawser/telemetry";
import type { Envelope } from "@hawser/wire";
import type { Client } from "./client.ts";
import type { PublishedMessage } from "./published-message.ts";
import { traceparentIn } from "./trace-property.ts";

/** The span of a publish and the context its envelope carries. */
export class PublishSpan {
  readonly context: Buffer | null;
  readonly #span: Span;

  constructor(span: Span) {
    this.#span = span;
    this.context = spanContextBytes(span);
  }

  end(outcome?: string): void {
    if (outcome !== undefined) this.#span.setAttribute(attributes.outcome, outcome);
    this.#span.end();
  }
}

export class IngressTelemetry {
  readonly #log: Logger;
  readonly #publishesIn: readonly Counter[];
  readonly #byReason = new Map<string, Counter>();

  constructor(log: Logger, connections: () => number) {
    this.#log = log;
    this.#publishesIn = [0, 1, 2].map((qos) => counter(metricNames.publishesIn, { qos: String(qos) }));
    gauge(metricNames.connections, { listener: "all" }, connections);
  }

  #count(metric: Metric<string>, labels: Record<string, string>): void {
    const key = `${metric.name} ${Object.values(labels).join(" ")}`;
    let known = this.#byReason.get(key);
    if (!known) this.#byReason.set(key, (known = counter(metric, labels)));
    known.add(1);
  }

  startPublish(client: Client, packet: PublishedMessage): PublishSpan | null {
    this.#publishesIn[packet.qos]!.add(1);
    const traceparent = traceparentIn(packet.properties);
    // by far the most messages are not traced: nothing is built for them
    if (traceparent === null && !shouldSample()) return null;
    const parent = parentOf(packet.topic);
    const name = isP2pTopic(packet.topic) ? spanNames.publishP2p : spanNames.publish;
    const details = {
      [attributes.system]: systems.mqtt,
      [attributes.operationName]: "publish",
      [attributes.clientId]: client.clientId,
      [attributes.instance]: client.instance.id,
      [attributes.parent]: parent,
      [attributes.qos]: packet.qos,
      [attributes.bodySize]: packet.payload.length,
    };
    const title = spanName(name, { parent });
    const span = traceparent === null ? startRootSpan(title, SpanKind.CONSUMER, details) : startEdgeSpan(title, SpanKind.CONSUMER, traceparent, details);
    return span ? new PublishSpan(span) : null;
  }

  startDeliver(envelope: Envelope): Span | null {
    if (envelope.trace === null) return null;
    return startSpan(spanName(spanNames.deliver, { topic: parentOf(envelope.topic) }), SpanKind.PRODUCER, envelope.trace, {
      [attributes.system]: systems.mqtt,
      [attributes.operationName]: "deliver",
      [attributes.bodySize]: envelope.payload.length,
      ...(envelope.target === null ? {} : { [attributes.clientId]: envelope.target }),
    });
  }

  connected(client: Client): void {
    this.#count(metricNames.connects, { outcome: "accepted" });
    this.#log.debug({ clientId: client.clientId, clientIp: client.clientIp, level: client.level }, "connected");
  }

  connectRefused(reason: string, clientId: string, clientIp: string, detail: string): void {
    this.#count(metricNames.connects, { outcome: reason });
    this.#log.warn({ reason, clientId, clientIp, detail }, "connect refused");
  }

  closed(clientId: string, clientIp: string, reason: string): void {
    this.#count(metricNames.closes, { reason });
    this.#log.debug({ reason, clientId, clientIp }, "connection closed");
  }

  malformed(reason: string): void {
    this.#count(metricNames.malformedPackets, { reason });
    this.#log.warn({ reason }, "connection closed for what it sent");
  }

  publishRefused(client: Client, reason: string, topic: string): void {
    this.#count(metricNames.publishesRefused, { reason });
    this.#log.warn({ reason, clientId: client.clientId, topic }, "publish refused");
  }

  publishFailed(client: Client, reason: string): void {
    this.#count(metricNames.publishesRefused, { reason });
    this.#log.error({ reason, clientId: client.clientId }, "publish could not be made safe, connection closed");
  }

  subscribeRefused(client: Client, reason: string, filter: string): void {
    this.#count(metricNames.subscribesRefused, { reason });
    this.#log.warn({ reason, clientId: client.clientId, filter }, "subscription refused");
  }

  dropped(reason: string, count: number): void {
    for (let left = count; left > 0; left--) this.#count(metricNames.publishesDropped, { reason });
  }

  /** A message of another service that makes no sense: counted and logged, never fatal. */
  badMessage(what: string, error: unknown): void {
    this.#count(metricNames.malformedPackets, { reason: `internal-${what}` });
    this.#log.error({ err: error }, `${what} could not be read`);
  }
}
