/**
 * What tests need: real servers that end with the test, and bytes of MQTT that do not come from
 * the code under test. Everything listens on loopback, on ports of its own.
 */
export { type NatsServer, startNatsServer } from "./start-nats-server.ts";
export { type OwnRocketMq, type RocketMqAddresses, startOwnRocketMq, startRocketMq } from "./start-rocketmq.ts";
