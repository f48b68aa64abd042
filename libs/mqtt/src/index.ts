/**
 * MQTT 3.1, 3.1.1 and 5 as pure protocol: framing, packets, windows, timers, one connection state
 * machine with two dialects, and the index of local subscriptions. Knows no NATS, no sessions, no
 * routing: those are behind ConnectionHandler. README.md has the picture.
 */
export * from "./types.ts";
export * from "./acceptor.ts";
export { MqttConnection } from "./connection.ts";
export * from "./framing.ts";
export * from "./reason-codes.ts";
export * from "./refusal.ts";
export * from "./topic-index.ts";
export { attachStream } from "./stream-socket.ts";
export { OutgoingPublish, SHARED_PAYLOAD_BYTES, type OutgoingPublishFields } from "./encode-publish.ts";
export { InboundWindow } from "./inbound-window.ts";
export { OutboundWindow } from "./outbound-window.ts";
export { TimerWheel } from "./timer-wheel.ts";
export { forwardableProperties, checkProperties } from "./codec/properties.ts";
export { messageProperties, encodeMessageProperties, listProperties, readProperties, encodeProperties, type Property, type PropertyValues } from "./codec/property-values.ts";
export { propertyId, propertyPlace } from "./codec/property-table.ts";
