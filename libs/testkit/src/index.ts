/**
 * What tests need: real servers that end with the test, and bytes of MQTT that do not come from
 * the code under test. Everything listens on loopback, on ports of its own.
 */
export type { AttributeValue, PlainSpan, SpanKind } from "./decode-otlp.ts";
export { type ConnectFields, mqttPackets, type ParsedPacket, type ProtocolLevel, type PublishFields, type Qos, type SubscribeEntry } from "./mqtt-packets.ts";
export type { Properties } from "./mqtt-properties.ts";
export { type RawClient, rawClient, type RawClientOptions } from "./raw-client.ts";
export { type NatsServer, startNatsServer } from "./start-nats-server.ts";
export { type OtlpSink, startOtlpSink } from "./start-otlp-sink.ts";
export { type OwnRocketMq, type RocketMqAddresses, startOwnRocketMq, startRocketMq } from "./start-rocketmq.ts";
export { type S3Options, type S3Server, startS3 } from "./start-s3.ts";
export { startStack, type TestStack, type TestStackOptions } from "./start-stack.ts";
