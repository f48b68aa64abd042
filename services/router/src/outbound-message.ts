/** Log records as RocketMQ messages: what an outbound or a status rule makes of them. Pure. */
import type { OutboundRule, StatusRule } from "@hawser/catalog";
import { messageProperties } from "@hawser/mqtt";
import { type DroppedProperties, originMark, outboundProperties, statusMessage } from "@hawser/rules";
import type { Envelope, PresenceEvent } from "@hawser/wire";

/** What is sent, before RocketMQ's own limits (libs/rocketmq) are looked at. */
export interface MessageParts {
  readonly topic: string;
  readonly body: Buffer;
  readonly properties: readonly (readonly [key: string, value: string])[];
  readonly tag: string;
  readonly keys: readonly string[];
  readonly group: string;
}

export interface MappedPublish {
  readonly message: MessageParts;
  readonly dropped: DroppedProperties;
  readonly encoded: number;
  /** The MQTT 5 Message Expiry Interval has passed: not to be sent. */
  readonly expired: boolean;
}

const NONE: readonly string[] = [];
const marks = new WeakMap<OutboundRule, string>();

function markOf(rule: OutboundRule): string {
  let mark = marks.get(rule);
  if (mark === undefined) marks.set(rule, (mark = originMark(rule.cluster, rule.topic, rule.parent)));
  return mark;
}

/** @param traceparent of the span that sends it, null when it is not sampled */
export function publishMessage(envelope: Envelope, rule: OutboundRule, traceparent: string | null, nowMs: number): MappedPublish {
  const { properties, dropped, encoded, expired } = outboundProperties(
    {
      topic: envelope.topic,
      qos: envelope.qos,
      sender: envelope.sender,
      persistent: envelope.persistent,
      publishedAtMs: envelope.publishedAtMs,
      properties: messageProperties(envelope.properties),
      traceparent,
      origin: markOf(rule),
    },
    nowMs,
  );
  const group = rule.order === "client" ? envelope.sender : "";
  return { message: { topic: rule.topic, body: envelope.payload, properties, tag: "", keys: NONE, group }, dropped, encoded, expired };
}

/** Events of a client keep their order where the topic can. */
export function presenceMessage(event: PresenceEvent, rule: StatusRule): MessageParts {
  const { tag, keys, body } = statusMessage(event);
  return { topic: rule.topic, body, properties: [], tag, keys, group: event.clientId };
}
