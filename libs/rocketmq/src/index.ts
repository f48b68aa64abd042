/**
 * RocketMQ 5 as Hawser uses it: gRPC to the proxy by hand (sending in batches, receiving in loops)
 * and topic administration over remoting. Owns no message: what is handed to a sender is its
 * caller's until it is stored; what is received is RocketMQ's until it is acknowledged. README.md
 * has what was found out about the server. When RocketMQ dies, senders hold and try again, and
 * receivers wait.
 */
export * from "./admin.ts";
export type { RocketMqEndpoint } from "./channel.ts";
export { legalGroup, legalKeys, legalProperties, legalTag, type LegalProperties } from "./legal-properties.ts";
export type { RocketMqCredentials } from "./metadata.ts";
export type { ReceivedMessage } from "./received-message.ts";
export * from "./receiver.ts";
export type { MessageFilter } from "./requests.ts";
export type { OutgoingMessage } from "./send-encoder.ts";
export * from "./sender.ts";
export { codes as rocketMqCodes } from "./status.ts";
