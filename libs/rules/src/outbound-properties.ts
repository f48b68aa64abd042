/**
 * MQTT to RocketMQ: what an envelope and its MQTT 5 properties become as RocketMQ user properties.
 * A property that cannot cross is dropped and counted, the message itself never fails. The payload
 * is not touched.
 */
import type { MqttProperties } from "./mqtt-properties.ts";
import { encodePropertyValue, hasControlCharacter, mappedKeys, PROPERTIES_MAX, PROPERTIES_MAX_BYTES, propertyKeys, reservedPropertyKeys } from "./property-keys.ts";
import { parentOf, secondTopicOf } from "./topic.ts";

export interface OutboundMessage {
  readonly topic: string;
  readonly qos: 0 | 1 | 2;
  /** Client ID of the publisher, empty when there is none. */
  readonly sender: string;
  /** The sender's session is persistent. */
  readonly persistent: boolean;
  readonly publishedAtMs: number;
  /** Null for 3.x publishers. */
  readonly properties: MqttProperties | null;
  /** Of the span that sends it, when the message is sampled. */
  readonly traceparent: string | null;
  /** See originMark; null when the rule needs none. */
  readonly origin: string | null;
}

export interface DroppedProperties {
  /** RocketMQ's own key, or one that Hawser sets itself. */
  reserved: number;
  /** Empty key or a control character in it. */
  illegal: number;
  /** A later one of the same key counts. */
  repeated: number;
  /** Beyond the number or size of properties RocketMQ takes. */
  limit: number;
}

export interface OutboundProperties {
  readonly properties: [key: string, value: string][];
  readonly dropped: DroppedProperties;
  /** Values that crossed percent-encoded. */
  readonly encoded: number;
  /** The MQTT 5 Message Expiry Interval has passed. */
  readonly expired: boolean;
}

export function outboundProperties(message: OutboundMessage, nowMs: number): OutboundProperties {
  const sheet = new PropertySheet();
  const second = secondTopicOf(message.topic);
  sheet.put(propertyKeys.qos, String(message.qos));
  sheet.put(propertyKeys.cleanSession, message.persistent ? "false" : "true");
  // a bare parent has no second topic, and RocketMQ keeps no empty value
  if (second !== "") sheet.put(propertyKeys.secondTopic, second);
  if (message.sender !== "") sheet.put(propertyKeys.clientId, message.sender);
  sheet.put(propertyKeys.topic, parentOf(message.topic));
  if (message.traceparent !== null) sheet.put(propertyKeys.traceparent, message.traceparent);
  if (message.origin !== null) sheet.put(propertyKeys.origin, message.origin);
  const expired = message.properties !== null && putMqttProperties(sheet, message.properties, message, nowMs);
  return { properties: sheet.finish(), dropped: sheet.dropped, encoded: sheet.encodedKeys.length, expired };
}

function putMqttProperties(sheet: PropertySheet, props: MqttProperties, message: OutboundMessage, nowMs: number): boolean {
  let expired = false;
  if (props.responseTopic !== undefined) sheet.put(propertyKeys.responseTopic, props.responseTopic);
  if (props.correlationData !== undefined) sheet.put(propertyKeys.correlationData, props.correlationData.toString("base64"));
  if (props.contentType !== undefined) sheet.put(propertyKeys.contentType, props.contentType);
  if (props.payloadFormat !== undefined) sheet.put(propertyKeys.payloadFormat, String(props.payloadFormat));
  if (props.expirySeconds !== undefined) {
    const left = secondsLeft(props.expirySeconds, message.publishedAtMs, nowMs);
    expired = left <= 0;
    sheet.put(propertyKeys.expiry, String(Math.max(0, left)));
  }
  const users = props.userProperties ?? [];
  if (users.length === 0) return expired;
  const last = new Map<string, string>();
  for (const [key, value] of users) {
    if (last.delete(key)) sheet.dropped.repeated++;
    last.set(key, value);
  }
  for (const [key, value] of last) {
    // a context the sender gave but nobody sampled goes on as it came
    const ownTrace = key === propertyKeys.traceparent && message.traceparent === null;
    if (!ownTrace && (mappedKeys.has(key) || reservedPropertyKeys.has(key))) sheet.dropped.reserved++;
    else if (key === "" || hasControlCharacter(key)) sheet.dropped.illegal++;
    else sheet.put(key, value);
  }
  return expired;
}

/** What is left of a Message Expiry Interval, 0 or less when it has passed [MQTT-3.3.2-5] [MQTT-3.3.2-6]. */
export function secondsLeft(expirySeconds: number, publishedAtMs: number, nowMs: number): number {
  return expirySeconds - Math.floor(Math.max(0, nowMs - publishedAtMs) / 1000);
}

const LIMIT_BYTES = PROPERTIES_MAX_BYTES - 32;

/** @param listed the key in the list of encoded ones, empty when it is not there */
function sizeOf(key: string, sent: string, listed: string): number {
  return Buffer.byteLength(key) + Buffer.byteLength(sent) + 2 + (listed === "" ? 0 : listed.length + 1);
}

class PropertySheet {
  readonly dropped: DroppedProperties = { reserved: 0, illegal: 0, repeated: 0, limit: 0 };
  readonly encodedKeys: string[] = [];
  readonly #properties: [string, string][] = [];
  /** What the properties take at most: a UTF-16 unit is up to 3 bytes. Nearly always that is enough to know. */
  #atMostBytes = 0;

  put(key: string, value: string): void {
    const mustEncode = value === "" || hasControlCharacter(value);
    const sent = mustEncode ? encodePropertyValue(value) : value;
    // the list of encoded keys grows with it
    const listed = mustEncode ? encodeURIComponent(key) : "";
    const atMostBytes = this.#atMostBytes + (key.length + sent.length + listed.length) * 3 + 3;
    if (this.#properties.length + 1 >= PROPERTIES_MAX || (atMostBytes > LIMIT_BYTES && this.#sizeBytes + sizeOf(key, sent, listed) > LIMIT_BYTES)) {
      this.dropped.limit++;
      return;
    }
    this.#atMostBytes = atMostBytes;
    this.#properties.push([key, sent]);
    if (mustEncode) this.encodedKeys.push(listed);
  }

  get #sizeBytes(): number {
    let sizeBytes = 0;
    for (const [key, sent] of this.#properties) sizeBytes += sizeOf(key, sent, "");
    for (const listed of this.encodedKeys) sizeBytes += listed.length + 1;
    return sizeBytes;
  }

  finish(): [string, string][] {
    if (this.encodedKeys.length > 0) this.#properties.push([propertyKeys.encoded, this.encodedKeys.join(",")]);
    return this.#properties;
  }
}
