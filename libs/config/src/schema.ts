/**
 * Every setting of every service, in one schema: what the environment, a file, compose and the
 * chart may say. A service reads the parts it needs. Changing a default is a change users notice:
 * it belongs into the CHANGELOG.
 */
import { z } from "zod";
import { choice, count, fraction, list, port, secret, text, textOf } from "./setting-types.ts";

const DAY_MS = 86_400_000;
const DAY_SECONDS = 86_400;
const GIB = 1024 ** 3;
const NAME = /^[-_a-zA-Z0-9]*$/;
const HOST_PORTS = /^(|[^\s:,;]+:\d{1,5}([,;][^\s:,;]+:\d{1,5})*)$/;
const HTTP_URL = /^(|https?:\/\/[^\s]+)$/;
const RMQ_NAME = /^[%|a-zA-Z0-9_-]{1,127}$/;

export const configSchema = z.strictObject({
  nats: z.strictObject({
    url: textOf("nats://127.0.0.1:4222", /^(nats|tls|ws|wss):\/\/\S+$/, "nats://host:port, several separated by commas", "Where NATS is (2.12 or newer, with JetStream)."),
    replicas: count(1, 1, 5, "Copies of each stream and bucket on a NATS cluster: 1, 3 or 5. What one server alone holds is lost with it."),
  }),
  member: z.strictObject({
    name: textOf("", NAME, "letters, digits, - and _", "Name of this process within its service, `<service>-<n>`; empty = POD_NAME, else the host's name. Each start adds its own suffix."),
  }),
  layout: z.strictObject({
    shards: count(64, 1, 1024, "Shards of the session and csg services. Stored at first start; a service refuses to start on another value."),
    partitions: count(2, 1, 32, "Partitions of the log. Stored at first start; changed only after the log is drained."),
  }),
  mqtt: z.strictObject({
    host: text("127.0.0.1", "Address the MQTT listeners bind; 0.0.0.0 = all."),
    tcpPort: port(1883, "MQTT over TCP; 0 = off."),
    tlsPort: port(0, "MQTT over TLS; 0 = off. Needs tls.certFile and tls.keyFile."),
    defaultInstance: textOf("default", /^[-_a-zA-Z0-9]{1,64}$/, "letters, digits, - and _", "Instance of connections whose user name names none."),
    maxConnections: count(100_000, 1, 10_000_000, "Connections one ingress holds; more are refused."),
    connectTimeoutMs: count(5000, 100, 300_000, "A connection that has not sent its CONNECT by then is closed."),
    maxKeepAliveSeconds: count(480, 1, 65_535, "Longest keep alive; MQTT 5 clients are told, for 3.x it is capped."),
    maxClientIdLength: count(64, 1, 250, "Characters of a Client ID."),
    clientIdCharacters: text("", "Printable characters a Client ID may hold besides 0-9 a-z A-Z - _ (never + # / or white space)."),
    maxPacketBytes: count(131_072, 128, 16_777_216, "Largest packet of a client, fixed header included."),
    maxPayloadBytes: count(65_536, 1, 4_194_304, "Largest payload of a PUBLISH."),
    maxTopicLength: count(64, 1, 65_535, "Characters of a topic; the Client ID level of a P2P topic does not count."),
    maxSubscriptions: count(30, 1, 100_000, "Filters per client; one with wildcards counts once."),
    inboundWindowMessages: count(256, 1, 65_535, "PUBLISHes of one connection that wait for their acknowledgement; reading stops beyond it."),
    inboundWindowBytes: count(262_144, 1024, 67_108_864, "The same in bytes."),
    outboundWindowMessages: count(32, 1, 65_535, "QoS 1 and 2 messages in flight to one client; the client's Receive Maximum may be lower."),
    slowConsumerBytes: count(262_144, 1024, 1_073_741_824, "Unsent bytes of a socket from which on QoS 0 messages are dropped, counted."),
    slowConsumerCloseBytes: count(1_048_576, 1024, 1_073_741_824, "Unsent bytes of a socket at which the connection is closed."),
  }),
  tls: z.strictObject({
    certFile: text("", "PEM file with the certificate chain of the TLS listener."),
    keyFile: text("", "PEM file with its private key."),
  }),
  plain: z.strictObject({
    denySubscribe: list("Filters a client of a plain-profile instance may not subscribe to."),
  }),
  log: z.strictObject({
    maxBytes: count(GIB, 1_048_576, 1024 * GIB, "Size of one partition of the log. A full log refuses; what was acknowledged is never deleted by a limit."),
    maxEntryBytes: count(524_288, 4096, 8_388_608, "Size of one commit; must stay below max_payload of NATS."),
    commitsInFlight: count(2, 1, 16, "Commits of one process and partition on their way at a time."),
    giveUpMs: count(30_000, 1000, 90_000, "How long an append is retried before its publisher learns that it failed."),
  }),
  session: z.strictObject({
    inboxMaxMessages: count(1000, 1, 1_000_000, "Messages waiting for one session; beyond it the oldest is dropped, counted."),
    inboxMaxAgeSeconds: count(3 * DAY_SECONDS, 1, 365 * DAY_SECONDS, "Age at which a waiting message is dropped, counted."),
    deliveryWindowMessages: count(32, 1, 65_535, "Messages of an inbox in flight to its client."),
    maxExpirySeconds: count(3 * DAY_SECONDS, 1, 365 * DAY_SECONDS, "Longest time a session outlives its connection; 3.x persistent sessions get exactly this."),
  }),
  rocketmq: z.strictObject({
    endpoints: textOf("", HOST_PORTS, "host:port, several separated by ; or , (empty = RocketMQ is off)", "Address of the RocketMQ 5 proxy (gRPC); empty = RocketMQ is off."),
    accessKey: text("", "Access key of RocketMQ, when it checks one."),
    secretKey: secret("Secret key of RocketMQ."),
    receiveLoops: count(4, 1, 64, "Long polls in flight per inbound rule."),
    batchMessages: count(128, 1, 512, "Messages of one send."),
    sendsInFlight: count(4, 1, 64, "Sends in flight per topic."),
    invisibleMs: count(30_000, 10_000, 43_200_000, "How long a received message stays hidden before RocketMQ delivers it again."),
  }),
  csg: z.strictObject({
    restHost: text("127.0.0.1", "Address the REST API of the csg-agent binds."),
    restPort: port(8090, "Port of the REST API; 0 = any free port."),
    restToken: secret("Bearer token of the REST API; empty = every request is refused."),
    replyTopic: textOf("csg-cmd-reply", RMQ_NAME, "a RocketMQ topic", "RocketMQ topic of replies, unless the command names one."),
    eventTopic: textOf("csg-event", /^([%|a-zA-Z0-9_-]{1,127})?$/, "a RocketMQ topic, or empty", "RocketMQ topic of gateway and command events; empty = none."),
    queueTtlMs: count(DAY_MS, 0, 7 * DAY_MS, "How long a command waits for an absent gateway; 0 = it fails at once."),
    deliveryTimeoutMs: count(10_000, 100, 600_000, "Without a receipt by then the command is sent again."),
    deliveryAttempts: count(3, 1, 100, "Unanswered sends after which the link counts as unstable and the session drops it."),
    acceptTimeoutMs: count(10_000, 100, 600_000, "A delivered command that the gateway has not accepted by then is sent again."),
    resendMinMs: count(2000, 10, 600_000, "First pause between two sends of a command; it doubles."),
    resendMaxMs: count(30_000, 10, 3_600_000, "Longest pause between two sends of a command."),
    execTimeoutMs: count(30_000, 100, DAY_MS, "Time a query or config command has on the gateway."),
    stepTimeoutMs: count(60_000, 100, DAY_MS, "A running task must show progress within this time."),
    taskTimeoutMs: count(DAY_MS, 1000, 7 * DAY_MS, "Time a task has on the gateway in all."),
    inDoubtGraceMs: count(5000, 0, 600_000, "Added to the gateway's own deadline before the outcome counts as in doubt."),
    reconcileWindowMs: count(7 * DAY_MS, 1000, 30 * DAY_MS, "How long an outcome in doubt waits for the gateway's word before it is UNKNOWN."),
    presenceGraceMs: count(10_000, 0, 600_000, "A gateway counts as offline only after this time."),
    retentionMs: count(7 * DAY_MS, 1000, 90 * DAY_MS, "How long a finished command is kept and its id recognised."),
    maxQueued: count(1000, 1, 100_000, "Commands waiting for one gateway; more are refused, RESOURCE_EXHAUSTED."),
    maxParamsBytes: count(61_440, 256, 4_194_304, "Size of a command's parameters."),
    maxWaitMs: count(60_000, 0, 600_000, "Longest time a REST caller may wait for the final state."),
    queryLane: count(4, 1, 1000, "Queries of one gateway in flight."),
    taskLane: count(2, 1, 1000, "Tasks of one gateway in flight. Config commands go one by one."),
  }),
  shards: z.strictObject({
    heartbeatMs: count(500, 20, 60_000, "Time between two heartbeats of a member."),
    selfMs: count(3000, 100, 600_000, "A member that has not heard itself for this long stops serving."),
    deadMs: count(5000, 200, 600_000, "A member nobody has heard for this long is dead; must be larger than shards.selfMs."),
    reconcileMs: count(2000, 50, 60_000, "Time between two looks at who should own what."),
  }),
  health: z.strictObject({
    host: text("127.0.0.1", "Address of /live, /ready and /metrics."),
    port: port(8080, "Port of /live, /ready and /metrics; 0 = any free port."),
  }),
  telemetry: z.strictObject({
    otlpEndpoint: textOf("", HTTP_URL, "an http(s) URL, or empty", "Base URL of an OTLP/HTTP receiver (`/v1/traces` is added); empty = no traces."),
    sampleRatio: fraction(0.01, 0, 1, "Share of messages that are traced, decided where they enter; a context that comes with a message decides for itself."),
  }),
  logging: z.strictObject({
    level: choice("info", ["trace", "debug", "info", "warn", "error", "fatal", "silent"], "Least important level that is logged."),
  }),
});

export type ConfigInput = z.input<typeof configSchema>;
type DeepReadonly<T> = T extends readonly (infer E)[] ? readonly DeepReadonly<E>[] : T extends object ? { readonly [K in keyof T]: DeepReadonly<T[K]> } : T;
/** The settings after defaults, frozen. */
export type Config = DeepReadonly<z.output<typeof configSchema>>;

/** What no single leaf can say. @returns one line per problem */
export function crossChecks(config: Config): string[] {
  const problems: string[] = [];
  const { mqtt, tls, shards, log, csg, nats } = config;
  if (mqtt.tlsPort !== 0 && (tls.certFile === "" || tls.keyFile === "")) problems.push("mqtt.tlsPort needs tls.certFile and tls.keyFile");
  if (mqtt.maxPayloadBytes >= mqtt.maxPacketBytes) problems.push("mqtt.maxPayloadBytes must be less than mqtt.maxPacketBytes");
  if (mqtt.maxPacketBytes >= log.maxEntryBytes) problems.push("mqtt.maxPacketBytes must be less than log.maxEntryBytes");
  if (mqtt.slowConsumerBytes >= mqtt.slowConsumerCloseBytes) problems.push("mqtt.slowConsumerBytes must be less than mqtt.slowConsumerCloseBytes");
  if (shards.heartbeatMs * 2 > shards.selfMs) problems.push("shards.selfMs must be at least twice shards.heartbeatMs");
  if (shards.selfMs >= shards.deadMs) problems.push("shards.selfMs must be less than shards.deadMs");
  if (csg.resendMinMs > csg.resendMaxMs) problems.push("csg.resendMinMs must not be more than csg.resendMaxMs");
  if (nats.replicas % 2 === 0) problems.push("nats.replicas must be 1, 3 or 5");
  return problems;
}

/** The schema of one leaf. */
export function leafSchema(area: string, name: string): z.ZodType {
  const areas: Record<string, { shape: Record<string, z.ZodType> }> = configSchema.shape;
  return areas[area]!.shape[name]!;
}
