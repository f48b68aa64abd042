/**
 * What csg-agent, gateways and control planes say to each other about commands: envelope, errors,
 * methods with their schemas, ids, RocketMQ properties. Owns no connection and does no I/O.
 */
export * from "./command-error.ts";
export * from "./command-state.ts";
export * from "./limits.ts";
export * from "./messages.ts";
export * from "./method.ts";
export * from "./method-catalogue.ts";
export * from "./rocketmq-properties.ts";
export * from "./uuid.ts";
