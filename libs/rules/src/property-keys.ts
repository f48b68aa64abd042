/** The property keys of a RocketMQ message: those Hawser gives a meaning, and those RocketMQ refuses. */
export const propertyKeys = {
  qos: "qoslevel",
  cleanSession: "cleansessionflag",
  secondTopic: "mqttSecondTopic",
  realTopic: "mqttRealTopic",
  clientId: "clientId",
  topic: "topic",
  traceparent: "traceparent",
  responseTopic: "mqtt5-response-topic",
  correlationData: "mqtt5-correlation-data",
  contentType: "mqtt5-content-type",
  expiry: "mqtt5-expiry",
  payloadFormat: "mqtt5-payload-format",
  /** Keys whose values are percent-encoded, separated by commas. */
  encoded: "mqtt5-encoded",
  /** Where Hawser took the message from: the loop guard, not shown to MQTT. */
  origin: "hawser-origin",
} as const;

export const mappedKeys: ReadonlySet<string> = new Set(Object.values(propertyKeys));

/**
 * User property keys the RocketMQ 5.5.0 proxy refuses: MessageConst.STRING_HASH_SET of
 * rocketmq-common and what the gRPC layer adds.
 */
export const reservedPropertyKeys: ReadonlySet<string> = new Set([
  "TRACE_ON", "MSG_REGION", "KEYS", "TAGS", "WAIT", "DELAY", "RETRY_TOPIC", "ORIGIN_GROUP", "REAL_TOPIC", "REAL_QID",
  "TRAN_MSG", "PGROUP", "MIN_OFFSET", "MAX_OFFSET", "BUYER_ID", "ORIGIN_MESSAGE_ID", "TRANSFER_FLAG", "CORRECTION_FLAG",
  "MQ2_FLAG", "RECONSUME_TIME", "UNIQ_KEY", "MAX_RECONSUME_TIMES", "CONSUME_START_TIME", "POP_CK", "POP_CK_OFFSET",
  "1ST_POP_TIME", "TRAN_PREPARED_QUEUE_OFFSET", "DUP_INFO", "EXTEND_UNIQ_INFO", "INSTANCE_ID", "CORRELATION_ID",
  "REPLY_TO_CLIENT", "TTL", "ARRIVE_TIME", "PUSH_REPLY_TIME", "CLUSTER", "MSG_TYPE", "INNER_MULTI_QUEUE_OFFSET",
  "TIMER_DELAY_MS", "TIMER_DELAY_SEC", "TIMER_DELIVER_MS", "TIMER_ENQUEUE_MS", "TIMER_DEQUEUE_MS", "TIMER_ROLL_TIMES",
  "TIMER_OUT_MS", "TIMER_DEL_UNIQKEY", "TIMER_DELAY_LEVEL", "__BORNHOST", "BORN_TIMESTAMP", "DLQ_ORIGIN_TOPIC",
  "DLQ_ORIGIN_MESSAGE_ID", "__CRC32#", "_SYS_MSG_PRIORITY_", "__LITE_TOPIC", "__SHARDINGKEY", "__STARTDELIVERTIME",
]);

/** Properties of one message; the proxy refuses 129, some are left for RocketMQ's own. */
export const PROPERTIES_MAX = 120;
/** Keys and values together; the proxy refuses more than 16 KiB, tag and keys included. */
export const PROPERTIES_MAX_BYTES = 15 * 1024;

// Java's isISOControl: C0, DEL and C1
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;
const ENCODED = /[%\u0000-\u001f\u007f-\u009f]/g;

export function hasControlCharacter(text: string): boolean {
  return CONTROL.test(text);
}

/** A value that cannot cross as it is: control characters and `%` as percent-encoded UTF-8, the empty value as `%`. */
export function encodePropertyValue(value: string): string {
  return value === "" ? "%" : value.replaceAll(ENCODED, (char) => encodeURIComponent(char));
}

/** @returns the value as it stands when it was not made by encodePropertyValue */
export function decodePropertyValue(value: string): string {
  if (value === "%") return "";
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}
