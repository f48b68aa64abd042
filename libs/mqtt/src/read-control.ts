/** SUBSCRIBE, UNSUBSCRIBE, DISCONNECT and AUTH of an open connection: checked, then handed to whom they concern. */
import { parseAuth, parseDisconnect } from "./codec/disconnect.ts";
import { packetProblems, type PacketProblem } from "./codec/packet-problem.ts";
import { isProblem, parseSubscribe, parseUnsubscribe } from "./codec/subscribe.ts";
import { reasonCodes } from "./reason-codes.ts";
import type { MqttConnection, ProtocolLevel } from "./types.ts";

const SUBSCRIBE = 8;
const UNSUBSCRIBE = 10;
const DISCONNECT = 14;
const AUTH = 15;

export function readControl(connection: MqttConnection, firstByte: number, bytes: Buffer, bodyOffset: number): PacketProblem | null {
  const level = connection.level as ProtocolLevel;
  switch (firstByte >>> 4) {
    case SUBSCRIBE: {
      const request = parseSubscribe(firstByte, bytes, bodyOffset, level);
      if (isProblem(request)) return request;
      connection.handler.subscribe(connection, request);
      return null;
    }
    case UNSUBSCRIBE: {
      const request = parseUnsubscribe(firstByte, bytes, bodyOffset, level);
      if (isProblem(request)) return request;
      connection.handler.unsubscribe(connection, request);
      return null;
    }
    case DISCONNECT: {
      const packet = parseDisconnect(firstByte, bytes, bodyOffset, level);
      if (isProblem(packet)) return packet;
      const expiry = packet.properties.sessionExpiryInterval;
      // [MQTT-3.14.2.2.2]: a session that was to end with the connection cannot be kept
      if (expiry !== undefined && expiry > 0 && connection.request!.sessionExpirySeconds === 0) return packetProblems.sessionExpiry;
      connection.disconnected(packet.code, expiry);
      return null;
    }
    case AUTH:
      return level === 5 ? readAuth(connection, firstByte, bytes, bodyOffset) : packetProblems.packetType;
    default:
      return packetProblems.packetType;
  }
}

function readAuth(connection: MqttConnection, firstByte: number, bytes: Buffer, bodyOffset: number): PacketProblem | null {
  const packet = parseAuth(firstByte, bytes, bodyOffset);
  if (isProblem(packet)) return packet;
  const method = connection.request!.authMethod;
  // [MQTT-4.12.0-6] [MQTT-4.12.1-2]
  const expected = connection.isAuthenticating || connection.isOpen;
  const code = connection.isAuthenticating ? reasonCodes.continueAuthentication : packet.code;
  if (method === null || !expected || connection.handler.auth === undefined || packet.code !== code || packet.code === 0) return packetProblems.authNotExpected;
  if (packet.properties.authenticationMethod !== method) return packetProblems.authMethod;
  connection.authReceived({ reasonCode: packet.code, method, data: packet.properties.authenticationData ?? null });
  return null;
}
