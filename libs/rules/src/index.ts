/**
 * The rules an application of the product relies on, as pure functions: Client IDs, topics, P2P,
 * signatures, and the mapping between MQTT messages and RocketMQ properties. No I/O, no state.
 */
export * from "./client-id.ts";
export * from "./inbound-properties.ts";
export * from "./message-group.ts";
export type { MqttProperties } from "./mqtt-properties.ts";
export * from "./origin-mark.ts";
export * from "./outbound-properties.ts";
export * from "./property-keys.ts";
export * from "./signature.ts";
export * from "./status-event.ts";
export * from "./topic.ts";
