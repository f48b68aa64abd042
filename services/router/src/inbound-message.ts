/** A RocketMQ message as an MQTT message, by an inbound rule: what, where to, or why not. Pure. */
import type { CompiledInstance, InboundMqttRule } from "@hawser/catalog";
import { encodeMessageProperties } from "@hawser/mqtt";
import type { ReceivedMessage } from "@hawser/rocketmq";
import { checkTopicName, inboundAddress, inboundProperties, isLoop, p2pTarget, parseClientId, secondsLeft } from "@hawser/rules";
import type { Qos } from "@hawser/wire";

export interface InboundLimits {
  readonly maxTopicLength: number;
  readonly maxPayloadBytes: number;
  readonly maxClientIdLength: number;
  readonly clientIdCharacters: string;
}

export type InboundDropReason = "loop" | "bad-topic" | "bad-client-id" | "too-large" | "expired" | "actor-parent" | "no-parent";

export interface MappedInbound {
  readonly kind: "live" | "p2p";
  /** The topic the receiver sees, and of a live message the one it travels on. */
  readonly topic: string;
  readonly target: string | null;
  readonly qos: Qos;
  readonly storable: boolean;
  readonly properties: Buffer | null;
  /** As the message says; checked where it is used. */
  readonly traceparent: string | null;
  /** Properties with a value that makes no sense. */
  readonly ignored: number;
}

export type InboundDecision = MappedInbound | { readonly kind: "drop"; readonly reason: InboundDropReason; readonly detail: string };

const PLAIN_MAX_TOPIC_LENGTH = 65_535;

export function mapInbound(message: ReceivedMessage, rule: InboundMqttRule, instance: CompiledInstance, limits: InboundLimits, nowMs: number): InboundDecision {
  const inbound = inboundProperties(message.properties);
  if (isLoop(inbound.origin, rule.cluster, rule.topic, rule.parent)) return drop("loop", rule.parent);
  if (message.body.length > limits.maxPayloadBytes) return drop("too-large", `${message.body.length} bytes`);
  if (!instance.hasParent(rule.parent)) return drop("no-parent", rule.parent);
  const plain = instance.profile === "plain";
  const travels = rule.parent + inbound.secondTopic;
  const problem = checkTopicName(travels, { maxLength: plain ? PLAIN_MAX_TOPIC_LENGTH : limits.maxTopicLength });
  if (problem !== null && !(problem === "p2p" && plain)) return drop("bad-topic", `${problem}: ${travels.slice(0, 128)}`);
  const target = p2pTarget(travels);
  if (target !== null && !mayExist(target, instance, limits)) return drop("bad-client-id", target.slice(0, 128));
  if (target === null && instance.actorService(rule.parent)?.live === false) return drop("actor-parent", rule.parent);
  const { topic } = inboundAddress(rule.parent, inbound);

  let properties = inbound.properties;
  if (properties?.expirySeconds !== undefined) {
    const left = secondsLeft(properties.expirySeconds, message.bornAtMs, nowMs);
    if (left <= 0) return drop("expired", `${-left} s ago`);
    properties = { ...properties, expirySeconds: left };
  }
  const { qos, storable, traceparent, ignored } = inbound;
  return { kind: target === null ? "live" : "p2p", topic, target, qos, storable, properties: encodeMessageProperties(properties), traceparent, ignored };
}

function mayExist(clientId: string, instance: CompiledInstance, limits: InboundLimits): boolean {
  if (instance.profile === "plain") return clientId.length > 0 && Buffer.byteLength(clientId) <= 255;
  const parsed = parseClientId(clientId, { maxLength: limits.maxClientIdLength, extraCharacters: limits.clientIdCharacters });
  return parsed.ok && instance.hasGroup(parsed.group);
}

function drop(reason: InboundDropReason, detail: string): InboundDecision {
  return { kind: "drop", reason, detail };
}
