/**
 * A whole Hawser on one machine: fetches what is missing, chooses ports, starts and supervises
 * nats-server, RocketMQ and the services. When the process that uses it dies, all it has started
 * dies with it.
 */
export { cacheDir, cached } from "./cache.ts";
export { defaultGroups, defaultTopics } from "./default-catalog.ts";
export { freePort, isPortFree } from "./free-port.ts";
export { natsServerBinary } from "./nats-binary.ts";
export { claimPorts, type PortPlan, portPlan, type ServiceCounts } from "./port-plan.ts";
export { accepts } from "./probes.ts";
export { guardChild } from "./process-guard.ts";
export { ROCKETMQ_READY, rocketMqCommand, type RocketMqPorts, rocketMqPorts } from "./rocketmq-files.ts";
export { rocketMqBinary } from "./rocketmq-jars.ts";
export { stateFilePath } from "./run-file.ts";
export { findProgram, progress, runProgram } from "./run-program.ts";
export type { ServiceName } from "./service-environment.ts";
export { Stack } from "./stack.ts";
export { defaultCounts, type RocketMqChoice, type StackOptions } from "./stack-options.ts";
export type { MqttEndpoints, StackCredentials, StackState } from "./stack-state.ts";
export { type StackStatus, stackStatus, stopStack } from "./stack-status.ts";
export { type ProcessSpec, SupervisedProcess } from "./supervised-process.ts";
export { writeTlsFiles } from "./tls-files.ts";
