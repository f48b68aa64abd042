/**
 * A message down as an envelope for the session owner: P2P, QoS 1, never stored. A gateway on MQTT 5
 * also gets properties that repeat the body (the ingress leaves them out for 3.1.1): Response Topic,
 * Correlation Data, Message Expiry Interval, Content Type, Payload Format Indicator.
 */
import { type DownlinkMessage, encodeMessage, isUuid, uuidBytes } from "@hawser/csg-protocol";
import { ByteWriter, encodeEnvelope } from "@hawser/wire";

export interface DownlinkWay {
  readonly origin: string;
  readonly sequence: number;
  readonly clientId: string;
  readonly gateway: string;
  readonly csgUp: string;
  readonly csgDown: string;
  readonly now: number;
  readonly trace: Buffer | null;
}

export function downlinkEnvelope(message: DownlinkMessage, way: DownlinkWay): Buffer {
  return encodeEnvelope({
    origin: way.origin,
    sequence: way.sequence,
    publishedAtMs: way.now,
    qos: 1,
    retain: false,
    sender: "",
    persistent: false,
    topic: `${way.csgDown}/p2p/${way.clientId}`,
    target: way.clientId,
    trace: way.trace,
    properties: mqtt5Properties(message, `${way.csgUp}/${way.gateway}/r`),
    payload: encodeMessage(message),
  });
}

/** Property identifiers of MQTT 5, section 2.2.2.2. */
const PAYLOAD_FORMAT = 1;
const MESSAGE_EXPIRY = 2;
const CONTENT_TYPE = 3;
const RESPONSE_TOPIC = 8;
const CORRELATION_DATA = 9;
const USER_PROPERTY = 38;

function mqtt5Properties(message: DownlinkMessage, responseTopic: string): Buffer {
  const writer = new ByteWriter(128).u8(PAYLOAD_FORMAT).u8(1).u8(CONTENT_TYPE).text("application/json");
  if (message.k === "req") writer.u8(MESSAGE_EXPIRY).u32(Math.max(1, Math.min(0xffff_ffff, Math.ceil(message.ttl / 1000))));
  if (message.k === "req" || message.k === "cancel" || message.k === "query") {
    writer.u8(RESPONSE_TOPIC).text(responseTopic);
    if (isUuid(message.id)) writer.u8(CORRELATION_DATA).u16(16).bytes(uuidBytes(message.id));
  }
  return writer.u8(USER_PROPERTY).text("__protVer").text("1.0").finish();
}
