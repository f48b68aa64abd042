/**
 * Every coded error of Hawser. A code, once released, keeps its meaning and is never reused.
 *
 * `message` is what an operator reads when nothing more specific is known. `mqtt5` is the MQTT 5
 * reason code, `mqtt3` the CONNACK return code of 3.1.1 (or 0x80 in a SUBACK) where a client is
 * told; `retryable` says whether the same request may succeed later without anybody changing
 * anything.
 */
export interface ErrorEntry {
  readonly message: string;
  readonly retryable: boolean;
  readonly mqtt5?: number;
  readonly mqtt3?: number;
}

export const errorTable = {
  // configuration and start
  HAWSER_E_CONFIG_UNKNOWN_KEY: { message: "a setting is not known", retryable: false },
  HAWSER_E_CONFIG_BAD_VALUE: { message: "a setting has a value that is not allowed", retryable: false },
  HAWSER_E_CONFIG_FILE: { message: "the configuration file cannot be read", retryable: false },
  HAWSER_E_PORT_TAKEN: { message: "the port is taken", retryable: false },
  HAWSER_E_LISTEN: { message: "the address cannot be listened on", retryable: false },
  HAWSER_E_TLS_FILES: { message: "the TLS certificate or key cannot be used", retryable: false },
  HAWSER_E_PREREQUISITE: { message: "a program that is needed is missing", retryable: false },
  HAWSER_E_START: { message: "the service could not start", retryable: false },

  // NATS
  HAWSER_E_NATS_VERSION: { message: "nats-server is older than 2.12", retryable: false },
  HAWSER_E_NATS_JETSTREAM: { message: "nats-server has no JetStream", retryable: false },
  HAWSER_E_NATS_CONNECT: { message: "NATS cannot be reached", retryable: true },
  HAWSER_E_NATS_AWAY: { message: "NATS is away", retryable: true, mqtt5: 0x88, mqtt3: 3 },
  HAWSER_E_STREAM_MISMATCH: { message: "a stream or bucket exists with another configuration", retryable: false },
  HAWSER_E_LAYOUT_MISMATCH: { message: "the stored layout differs from the configured one", retryable: false },

  // ownership
  HAWSER_E_FENCED: { message: "another member owns this shard", retryable: true, mqtt5: 0x88, mqtt3: 3 },
  HAWSER_E_UNAVAILABLE: { message: "the shard has no owner", retryable: true, mqtt5: 0x88, mqtt3: 3 },
  HAWSER_E_TIMEOUT: { message: "no answer in time", retryable: true, mqtt5: 0x88, mqtt3: 3 },
  HAWSER_E_BUSY: { message: "the mailbox is full", retryable: true, mqtt5: 0x89, mqtt3: 3 },

  // log
  HAWSER_E_LOG_REFUSED: { message: "the log takes nothing more", retryable: true, mqtt5: 0x97 },
  HAWSER_E_LOG_AMBIGUOUS: { message: "it is not known whether the log has it", retryable: true },

  // identity
  HAWSER_E_CLIENT_ID: { message: "the Client ID is not valid", retryable: false, mqtt5: 0x85, mqtt3: 2 },
  HAWSER_E_UNKNOWN_GROUP: { message: "the group of the Client ID does not exist", retryable: false, mqtt5: 0x85, mqtt3: 2 },
  HAWSER_E_BAD_CREDENTIALS: { message: "user name or password is wrong", retryable: false, mqtt5: 0x86, mqtt3: 4 },
  HAWSER_E_NOT_AUTHORIZED: { message: "not authorized", retryable: false, mqtt5: 0x87, mqtt3: 5 },
  HAWSER_E_UNKNOWN_INSTANCE: { message: "the instance does not exist", retryable: false, mqtt5: 0x86, mqtt3: 4 },
  HAWSER_E_CATALOG_MISSING: { message: "there is no catalogue", retryable: true, mqtt5: 0x88, mqtt3: 3 },
  HAWSER_E_QUOTA: { message: "a quota is used up", retryable: true, mqtt5: 0x97, mqtt3: 3 },

  // protocol
  HAWSER_E_MALFORMED_PACKET: { message: "malformed packet", retryable: false, mqtt5: 0x81 },
  HAWSER_E_PROTOCOL_ERROR: { message: "protocol error", retryable: false, mqtt5: 0x82 },
  HAWSER_E_PROTOCOL_VERSION: { message: "the protocol version is not supported", retryable: false, mqtt5: 0x84, mqtt3: 1 },
  HAWSER_E_PACKET_TOO_LARGE: { message: "the packet is too large", retryable: false, mqtt5: 0x95 },
  HAWSER_E_RECEIVE_MAXIMUM: { message: "more messages in flight than Receive Maximum", retryable: false, mqtt5: 0x93 },
  HAWSER_E_KEEP_ALIVE: { message: "keep alive timeout", retryable: true, mqtt5: 0x8d },
  HAWSER_E_CONNECT_TIMEOUT: { message: "no CONNECT in time", retryable: true },
  HAWSER_E_TAKEN_OVER: { message: "clientId conflict", retryable: false, mqtt5: 0x8e },
  HAWSER_E_KICKED: { message: "closed by an operator", retryable: true, mqtt5: 0x98 },
  HAWSER_E_SHUTTING_DOWN: { message: "the server is shutting down", retryable: true, mqtt5: 0x8b, mqtt3: 3 },
  HAWSER_E_AUTH_METHOD: { message: "the authentication method is not supported", retryable: false, mqtt5: 0x8c, mqtt3: 4 },
  HAWSER_E_NO_RETAIN: { message: "retained messages are not supported", retryable: false, mqtt5: 0x9a, mqtt3: 3 },
  HAWSER_E_SLOW_CONSUMER: { message: "the client reads too slowly", retryable: true, mqtt5: 0x97 },

  // topics
  HAWSER_E_TOPIC_NAME: { message: "the topic name is not valid", retryable: false, mqtt5: 0x90 },
  HAWSER_E_TOPIC_TOO_LONG: { message: "the topic is too long", retryable: false, mqtt5: 0x90 },
  HAWSER_E_TOPIC_FILTER: { message: "the topic filter is not valid", retryable: false, mqtt5: 0x8f, mqtt3: 0x80 },
  HAWSER_E_UNKNOWN_PARENT: { message: "the parent topic does not exist", retryable: false, mqtt5: 0x87, mqtt3: 0x80 },
  HAWSER_E_FOREIGN_P2P: { message: "another client's P2P topic", retryable: false, mqtt5: 0x87, mqtt3: 0x80 },
  HAWSER_E_PAYLOAD_TOO_LARGE: { message: "the payload is too large", retryable: false, mqtt5: 0x95 },
  HAWSER_E_SUBSCRIPTIONS: { message: "too many subscriptions", retryable: false, mqtt5: 0x97, mqtt3: 0x80 },

  // catalogue
  HAWSER_E_CATALOG_INVALID: { message: "the catalogue is not valid", retryable: false },
  HAWSER_E_CATALOG_CONFLICT: { message: "somebody else changed the catalogue at the same time", retryable: true },

  // RocketMQ
  HAWSER_E_ROCKETMQ_AWAY: { message: "RocketMQ cannot be reached", retryable: true },
  HAWSER_E_ROCKETMQ_TOPIC: { message: "the RocketMQ topic does not exist or has the wrong type", retryable: false },
  HAWSER_E_ROCKETMQ_REFUSED: { message: "RocketMQ refused the message", retryable: false },

  // gateways
  HAWSER_E_GATEWAY_UNKNOWN: { message: "the gateway is not known", retryable: false },
  HAWSER_E_COMMAND_UNKNOWN: { message: "the command is not known", retryable: false },
  HAWSER_E_UNAUTHENTICATED: { message: "a valid token is needed", retryable: false },
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof errorTable;
