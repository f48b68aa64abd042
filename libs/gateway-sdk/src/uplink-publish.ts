/** How a message up stands in MQTT: its topic, and on MQTT 5 the properties that repeat its body. */
import { encodeMessage, httpStatusOf, isUuid, type UplinkMessage, uplinkLevel, uuidBytes } from "@hawser/csg-protocol";
import type { IClientPublishOptions } from "mqtt";

export interface UplinkPublish {
  readonly topic: string;
  readonly payload: Buffer;
  readonly options: IClientPublishOptions;
}

export function uplinkPublish(message: UplinkMessage, qos: 0 | 1, csgUp: string, gateway: string, protocolVersion: 4 | 5): UplinkPublish {
  const topic = `${csgUp}/${gateway}/${uplinkLevel[message.k]}`;
  const payload = encodeMessage(message);
  if (protocolVersion === 4) return { topic, payload, options: { qos } };
  const userProperties: Record<string, string> = { __protVer: "1.0" };
  if ("traceparent" in message && message.traceparent) userProperties.traceparent = message.traceparent;
  if (message.k === "res") {
    userProperties.__stat = String(message.error ? httpStatusOf[message.error.code] : 200);
    if (message.error) {
      userProperties.__stMsg = message.error.message.slice(0, 256);
      userProperties.__apErr = message.error.reason;
    }
  }
  const correlationData = "id" in message && isUuid(message.id) ? { correlationData: uuidBytes(message.id) } : {};
  return {
    topic,
    payload,
    options: { qos, properties: { contentType: "application/json", payloadFormatIndicator: true, userProperties, ...correlationData } },
  };
}
