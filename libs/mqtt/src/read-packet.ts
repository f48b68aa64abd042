/** A packet of an open connection (or AUTH before it): checked, then handed to whom it concerns. */
import { parseAuth, parseDisconnect } from "./codec/disconnect.ts";
import { packetProblems, type PacketProblem } from "./codec/packet-problem.ts";
import { isProblem, parseSubscribe, parseUnsubscribe } from "./codec/subscribe.ts";
import type { InboundFlow } from "./inbound-flow.ts";
import type { OutboundFlow } from "./outbound-flow.ts";
import { reasonCodes } from "./reason-codes.ts";
import type { AuthInfo, ConnectionHandler, ConnectPacketInfo, MqttConnection } from "./types.ts";

export interface PacketReceiver {
  readonly connection: MqttConnection;
  readonly request: ConnectPacketInfo;
  /** Null before CONNACK. */
  readonly inbound: InboundFlow | null;
  readonly outbound: OutboundFlow | null;
  readonly isAuthenticating: boolean;
  pinged(): void;
  disconnected(reasonCode: number, sessionExpirySeconds: number | undefined): void;
  authReceived(info: AuthInfo): void;
}

const CONNECT = 1;
const PUBLISH = 3;
const PUBACK = 4;
const PUBREC = 5;
const PUBREL = 6;
const PUBCOMP = 7;
const SUBSCRIBE = 8;
const UNSUBSCRIBE = 10;
const PINGREQ = 12;
const DISCONNECT = 14;
const AUTH = 15;

/** @returns why the connection has to end, or null */
export function readPacket(receiver: PacketReceiver, handler: ConnectionHandler, firstByte: number, bytes: Buffer, bodyOffset: number): PacketProblem | null {
  const { level } = receiver.request;
  // [MQTT-1.5.5-1]
  if (bodyOffset > 2 && bytes[bodyOffset - 1] === 0 && level === 5) return packetProblems.length;
  const type = firstByte >>> 4;
  if (receiver.isAuthenticating && type !== DISCONNECT && type !== AUTH) return packetProblems.packetType;
  switch (type) {
    case PUBLISH:
      return receiver.inbound!.publish(firstByte, bytes, bodyOffset);
    case PUBACK:
    case PUBREC:
    case PUBCOMP:
      return receiver.outbound!.acknowledged(firstByte, bytes, bodyOffset);
    case PUBREL:
      return receiver.inbound!.pubrel(firstByte, bytes, bodyOffset);
    case SUBSCRIBE: {
      const request = parseSubscribe(firstByte, bytes, bodyOffset, level);
      if (isProblem(request)) return request;
      handler.subscribe(receiver.connection, request);
      return null;
    }
    case UNSUBSCRIBE: {
      const request = parseUnsubscribe(firstByte, bytes, bodyOffset, level);
      if (isProblem(request)) return request;
      handler.unsubscribe(receiver.connection, request);
      return null;
    }
    case PINGREQ:
      if (firstByte !== 0xc0) return packetProblems.flags;
      if (bytes.length !== bodyOffset) return packetProblems.trailing;
      receiver.pinged();
      return null;
    case DISCONNECT:
      return readDisconnect(receiver, firstByte, bytes, bodyOffset);
    case AUTH:
      return level === 5 ? readAuth(receiver, handler, firstByte, bytes, bodyOffset) : packetProblems.packetType;
    // [MQTT-3.1.0-2]
    case CONNECT:
      return packetProblems.secondConnect;
    default:
      return packetProblems.packetType;
  }
}

function readDisconnect(receiver: PacketReceiver, firstByte: number, bytes: Buffer, bodyOffset: number): PacketProblem | null {
  const packet = parseDisconnect(firstByte, bytes, bodyOffset, receiver.request.level);
  if (isProblem(packet)) return packet;
  const expiry = packet.properties.sessionExpiryInterval;
  // 3.14.2.2.2: a session that was to end with the connection cannot be kept
  if (expiry !== undefined && expiry > 0 && receiver.request.sessionExpirySeconds === 0) return packetProblems.sessionExpiry;
  receiver.disconnected(packet.code, expiry);
  return null;
}

function readAuth(receiver: PacketReceiver, handler: ConnectionHandler, firstByte: number, bytes: Buffer, bodyOffset: number): PacketProblem | null {
  const packet = parseAuth(firstByte, bytes, bodyOffset);
  if (isProblem(packet)) return packet;
  const { authMethod } = receiver.request;
  const expected = receiver.isAuthenticating ? reasonCodes.continueAuthentication : packet.code;
  // [MQTT-4.12.0-6] [MQTT-4.12.1-1]
  if (authMethod === null || handler.auth === undefined || packet.code !== expected || packet.code === 0) return packetProblems.authNotExpected;
  if (packet.properties.authenticationMethod !== authMethod) return packetProblems.authMethod;
  receiver.authReceived({ reasonCode: packet.code, method: authMethod, data: packet.properties.authenticationData ?? null });
  return null;
}
