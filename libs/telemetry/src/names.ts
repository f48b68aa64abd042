/**
 * Span and attribute names. A span is called `{operation} {destination template}`, never with a
 * raw Client ID or topic. Attributes follow OpenTelemetry's semantic conventions for messaging
 * (1.45: `messaging.system.name`, `rocketmq.*`); what they do not know is under `hawser.` and
 * `csg.`.
 */
export const spanNames = {
  // ingress
  connect: "connect",
  publish: "publish {parent}",
  publishP2p: "publish {parent}/p2p/{clientId}",
  deliver: "deliver {topic}",
  // log and router
  append: "append w.{partition}",
  processLog: "process w.{partition}",
  rocketmqSend: "send {rocketmqTopic}",
  rocketmqReceive: "receive {rocketmqTopic}",
  rocketmqProcess: "process {rocketmqTopic}",
  rocketmqSettle: "settle {rocketmqTopic}",
  live: "publish m.{instance}.{parent}",
  // session
  p2p: "process s.{shard}",
  inbox: "process q.{shard}",
  // actors
  uplink: "process a.{service}.{shard}",
  submit: "submit a.{service}.{shard}",
  // csg
  command: "csg.command {method}",
  commandSend: "csg.send {method}",
  commandReply: "csg.reply {method}",
  rest: "{httpMethod} {route}",
  // gateway program
  gatewayReceive: "gateway.receive {method}",
  gatewayRun: "gateway.run {method}",
  gatewayReply: "gateway.reply {method}",
} as const;

/** Fills the braces of a span name; the values have few distinct ones: parents, rules, shards, methods. */
export function spanName(template: string, values: Readonly<Record<string, string | number>>): string {
  return template.replaceAll(/\{(\w+)\}/g, (brace, name: string) => (name in values ? String(values[name]) : brace));
}

export const attributes = {
  system: "messaging.system.name",
  operationName: "messaging.operation.name",
  operationType: "messaging.operation.type",
  destination: "messaging.destination.name",
  destinationTemplate: "messaging.destination.template",
  partition: "messaging.destination.partition.id",
  consumerGroup: "messaging.consumer.group.name",
  messageId: "messaging.message.id",
  conversationId: "messaging.message.conversation_id",
  bodySize: "messaging.message.body.size",
  batchCount: "messaging.batch.message_count",
  clientId: "messaging.client.id",
  errorType: "error.type",
  serverAddress: "server.address",
  serverPort: "server.port",
  httpMethod: "http.request.method",
  httpRoute: "http.route",
  httpStatus: "http.response.status_code",
  rocketmqNamespace: "rocketmq.namespace",
  rocketmqTag: "rocketmq.message.tag",
  rocketmqKeys: "rocketmq.message.keys",
  rocketmqGroup: "rocketmq.message.group",
  rocketmqType: "rocketmq.message.type",
  instance: "hawser.instance",
  qos: "hawser.mqtt.qos",
  protocolLevel: "hawser.mqtt.protocol_level",
  parent: "hawser.parent_topic",
  rule: "hawser.rule",
  shard: "hawser.shard",
  epoch: "hawser.epoch",
  outcome: "hawser.outcome",
  logPlace: "hawser.log.place",
  gatewayId: "csg.gateway.id",
  commandId: "csg.command.id",
  commandState: "csg.command.state",
  method: "csg.method",
  attempt: "csg.attempt",
} as const;

/** Values of `messaging.system.name`. */
export const systems = { mqtt: "mqtt", nats: "nats", rocketmq: "rocketmq" } as const;
