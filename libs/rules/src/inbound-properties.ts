/**
 * RocketMQ to MQTT: what the user properties of a RocketMQ message say about the MQTT message it
 * becomes. Values that make no sense are ignored and counted; the message is still delivered.
 */
import type { MqttProperties } from "./mqtt-properties.ts";
import { decodePropertyValue, mappedKeys, propertyKeys } from "./property-keys.ts";
import { checkTopicName, p2pTarget } from "./topic.ts";

export interface InboundMessage {
  /** Default 1. */
  readonly qos: 0 | 1 | 2;
  /** With a leading slash, or empty: the bare parent. */
  readonly secondTopic: string;
  /** Topic shown to the receiver, when the sender set one. */
  readonly realTopic: string | null;
  /** P2P only: store it for an absent receiver. */
  readonly storable: boolean;
  readonly traceparent: string | null;
  /** See originMark. */
  readonly origin: string | null;
  /** Null when there is nothing to tell an MQTT 5 receiver. */
  readonly properties: MqttProperties | null;
  /** Properties with a value that is not allowed: ignored. */
  readonly ignored: number;
}

/** @param properties user properties as RocketMQ gives them */
export function inboundProperties(properties: Readonly<Record<string, string>>): InboundMessage {
  const encoded = encodedKeys(properties[propertyKeys.encoded]);
  const read = (key: string): string | undefined => {
    const value = properties[key];
    return value !== undefined && encoded?.has(key) ? decodePropertyValue(value) : value;
  };
  let ignored = 0;
  const ignore = (): undefined => {
    ignored++;
    return undefined;
  };

  const qosText = read(propertyKeys.qos);
  const qos = qosText === undefined ? 1 : qosText === "0" || qosText === "1" || qosText === "2" ? (Number(qosText) as 0 | 1 | 2) : (ignore() ?? 1);
  const second = read(propertyKeys.secondTopic) ?? "";
  const realText = read(propertyKeys.realTopic);
  const realTopic = realText === undefined || realText === "" ? null : checkTopicName(realText, { maxLength: 65_535 }) === null ? realText : (ignore() ?? null);

  const userProperties: [string, string][] = [];
  for (const key of Object.keys(properties)) if (!mappedKeys.has(key)) userProperties.push([key, read(key)!]);
  const responseTopic = read(propertyKeys.responseTopic);
  const correlation = read(propertyKeys.correlationData);
  const contentType = read(propertyKeys.contentType);
  const expiry = read(propertyKeys.expiry);
  const format = read(propertyKeys.payloadFormat);
  const mqtt5: { -readonly [K in keyof MqttProperties]: MqttProperties[K] } = {};
  if (format !== undefined) format === "0" || format === "1" ? (mqtt5.payloadFormat = Number(format)) : ignore();
  if (expiry !== undefined) /^\d{1,10}$/.test(expiry) && Number(expiry) <= 0xffff_ffff ? (mqtt5.expirySeconds = Number(expiry)) : ignore();
  if (contentType !== undefined) mqtt5.contentType = contentType;
  // a Response Topic must be a topic name [MQTT-3.3.2-14]
  if (responseTopic !== undefined) checkTopicName(responseTopic, { maxLength: 65_535 }) === null ? (mqtt5.responseTopic = responseTopic) : ignore();
  if (correlation !== undefined) mqtt5.correlationData = Buffer.from(correlation, "base64");
  if (userProperties.length > 0) mqtt5.userProperties = userProperties;

  return {
    qos,
    secondTopic: second === "" || second.startsWith("/") ? second : `/${second}`,
    realTopic,
    storable: read(propertyKeys.cleanSession)?.toLowerCase() === "false",
    traceparent: read(propertyKeys.traceparent) ?? null,
    origin: read(propertyKeys.origin) ?? null,
    properties: Object.keys(mqtt5).length > 0 ? mqtt5 : null,
    ignored,
  };
}

function encodedKeys(listed: string | undefined): ReadonlySet<string> | null {
  return listed === undefined ? null : new Set(listed.split(",").map(decodePropertyValue));
}

export interface InboundAddress {
  /** Topic the message travels on; of a P2P message, the one it is shown with. */
  readonly topic: string;
  /** Client ID of the receiver of a P2P message. */
  readonly target: string | null;
}

/** Where a message of a rule goes: its parent and the message's second topic. */
export function inboundAddress(parent: string, message: Pick<InboundMessage, "secondTopic" | "realTopic">): InboundAddress {
  const topic = parent + message.secondTopic;
  const target = p2pTarget(topic);
  return { topic: message.realTopic !== null && target !== null ? message.realTopic : topic, target };
}
