/** The properties of MQTT 5 (2.2.2.2): identifier, type, where each may stand, and how often. */

export const propertyId = {
  payloadFormatIndicator: 0x01,
  messageExpiryInterval: 0x02,
  contentType: 0x03,
  responseTopic: 0x08,
  correlationData: 0x09,
  subscriptionIdentifier: 0x0b,
  sessionExpiryInterval: 0x11,
  assignedClientIdentifier: 0x12,
  serverKeepAlive: 0x13,
  authenticationMethod: 0x15,
  authenticationData: 0x16,
  requestProblemInformation: 0x17,
  willDelayInterval: 0x18,
  requestResponseInformation: 0x19,
  responseInformation: 0x1a,
  serverReference: 0x1c,
  reasonString: 0x1f,
  receiveMaximum: 0x21,
  topicAliasMaximum: 0x22,
  topicAlias: 0x23,
  maximumQos: 0x24,
  retainAvailable: 0x25,
  userProperty: 0x26,
  maximumPacketSize: 0x27,
  wildcardSubscriptionAvailable: 0x28,
  subscriptionIdentifierAvailable: 0x29,
  sharedSubscriptionAvailable: 0x2a,
} as const;

export type PropertyName = keyof typeof propertyId;

/** Where a property block stands. The values are bits, so that a property's places are one mask. */
export const propertyPlace = {
  connect: 1 << 0,
  connack: 1 << 1,
  /** From a client: no Subscription Identifier [MQTT-3.3.4-6]. */
  publish: 1 << 2,
  will: 1 << 3,
  /** PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK. */
  ack: 1 << 4,
  subscribe: 1 << 5,
  unsubscribe: 1 << 6,
  disconnect: 1 << 7,
  auth: 1 << 8,
  /** From a server, Subscription Identifiers included. */
  publishToClient: 1 << 9,
} as const;

export type PropertyType = "byte" | "u16" | "u32" | "varint" | "text" | "binary" | "pair";

export interface PropertyRule {
  readonly name: PropertyName;
  readonly type: PropertyType;
  readonly places: number;
  readonly minimum: number;
  readonly maximum: number;
}

const { connect, connack, publish, will, ack, subscribe, unsubscribe, disconnect, auth, publishToClient } = propertyPlace;
const message = publish | publishToClient | will;

function rule(name: PropertyName, type: PropertyType, places: number, minimum = 0, maximum = Number.MAX_SAFE_INTEGER): PropertyRule {
  return { name, type, places, minimum, maximum };
}

const rules: readonly PropertyRule[] = [
  rule("payloadFormatIndicator", "byte", message, 0, 1),
  rule("messageExpiryInterval", "u32", message),
  rule("contentType", "text", message),
  rule("responseTopic", "text", message),
  rule("correlationData", "binary", message),
  rule("subscriptionIdentifier", "varint", publishToClient | subscribe, 1),
  rule("sessionExpiryInterval", "u32", connect | connack | disconnect),
  rule("assignedClientIdentifier", "text", connack),
  rule("serverKeepAlive", "u16", connack),
  rule("authenticationMethod", "text", connect | connack | auth),
  rule("authenticationData", "binary", connect | connack | auth),
  rule("requestProblemInformation", "byte", connect, 0, 1),
  rule("willDelayInterval", "u32", will),
  rule("requestResponseInformation", "byte", connect, 0, 1),
  rule("responseInformation", "text", connack),
  rule("serverReference", "text", connack | disconnect),
  rule("reasonString", "text", connack | ack | disconnect | auth),
  rule("receiveMaximum", "u16", connect | connack, 1),
  rule("topicAliasMaximum", "u16", connect | connack),
  rule("topicAlias", "u16", publish | publishToClient),
  rule("maximumQos", "byte", connack, 0, 1),
  rule("retainAvailable", "byte", connack, 0, 1),
  rule("userProperty", "pair", connect | connack | message | ack | subscribe | unsubscribe | disconnect | auth),
  rule("maximumPacketSize", "u32", connect | connack, 1),
  rule("wildcardSubscriptionAvailable", "byte", connack, 0, 1),
  rule("subscriptionIdentifierAvailable", "byte", connack, 0, 1),
  rule("sharedSubscriptionAvailable", "byte", connack, 0, 1),
];

/** By identifier; all identifiers are below 0x2b, so one byte is enough. */
export const propertyRules: readonly (PropertyRule | undefined)[] = Array.from({ length: 0x2b }, (_, id) => rules.find((entry) => propertyId[entry.name] === id));
