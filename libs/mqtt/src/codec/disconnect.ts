/** DISCONNECT (3.14) and AUTH (3.15) of a client: a reason code and properties, both may be absent. */
import { packetProblems, type PacketProblem } from "./packet-problem.ts";
import { checkProperties } from "./properties.ts";
import { propertyPlace } from "./property-table.ts";
import { readProperties, type PropertyValues } from "./property-values.ts";
import { readVariableLength } from "./variable-length.ts";
import { isClientDisconnectCode, reasonCodes } from "../reason-codes.ts";
import type { ProtocolLevel } from "../types.ts";

export interface ReasonAndProperties {
  readonly code: number;
  readonly properties: PropertyValues;
}

const NORMAL: ReasonAndProperties = { code: 0, properties: {} };

export function parseDisconnect(firstByte: number, bytes: Buffer, bodyOffset: number, level: ProtocolLevel): ReasonAndProperties | PacketProblem {
  if ((firstByte & 0x0f) !== 0) return packetProblems.flags;
  if (bytes.length === bodyOffset) return NORMAL;
  if (level !== 5) return packetProblems.trailing;
  return isClientDisconnectCode(bytes[bodyOffset]!) ? readRest(bytes, bodyOffset, propertyPlace.disconnect) : packetProblems.reasonCode;
}

export function parseAuth(firstByte: number, bytes: Buffer, bodyOffset: number): ReasonAndProperties | PacketProblem {
  if ((firstByte & 0x0f) !== 0) return packetProblems.flags;
  if (bytes.length === bodyOffset) return NORMAL;
  const code = bytes[bodyOffset]!;
  const known = code === 0 || code === reasonCodes.continueAuthentication || code === reasonCodes.reAuthenticate;
  return known ? readRest(bytes, bodyOffset, propertyPlace.auth) : packetProblems.reasonCode;
}

function readRest(bytes: Buffer, bodyOffset: number, place: number): ReasonAndProperties | PacketProblem {
  const code = bytes[bodyOffset]!;
  let at = bodyOffset + 1;
  if (at === bytes.length) return { code, properties: {} };
  const length = readVariableLength(bytes, at, bytes.length);
  if (length < 0) return packetProblems.propertyBlock;
  at += length & 7;
  const stop = at + (length >>> 3);
  if (stop !== bytes.length) return stop > bytes.length ? packetProblems.truncated : packetProblems.trailing;
  return checkProperties(bytes, at, stop, place) ?? { code, properties: readProperties(Buffer.from(bytes.subarray(at, stop))) };
}
