/** What an MQTT 5 client may ask for at CONNECT and this version has not. 3.x cannot ask, or cannot be told. */
import type { ErrorCode } from "@hawser/errors";
import type { ConnectPacketInfo } from "@hawser/mqtt";

export interface UnsupportedConnect {
  readonly code: ErrorCode;
  /** For counters and logs. */
  readonly reason: string;
}

/** @returns null when all of it is there */
export function unsupportedConnect(request: Pick<ConnectPacketInfo, "level" | "authMethod" | "will">): UnsupportedConnect | null {
  if (request.level !== 5) return null;
  // [MQTT-4.12.0-1]
  if (request.authMethod !== null) return { code: "HAWSER_E_AUTH_METHOD", reason: "authentication-method" };
  // [MQTT-3.2.2-13]
  if (request.will?.retain) return { code: "HAWSER_E_NO_RETAIN", reason: "will-retain" };
  return null;
}
