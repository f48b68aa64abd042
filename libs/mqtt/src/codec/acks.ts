/** PUBACK, PUBREC, PUBREL, PUBCOMP: packet id, in MQTT 5 optionally a reason code and properties (3.4 to 3.7). */
import { packetProblems, type PacketProblem } from "./packet-problem.ts";
import { checkProperties } from "./properties.ts";
import { propertyPlace } from "./property-table.ts";
import { readVariableLength } from "./variable-length.ts";
import type { ProtocolLevel } from "../types.ts";

export interface AckFields {
  packetId: number;
  reasonCode: number;
}

const PUBREL = 6;
const PUBCOMP = 7;
const publishCodes: ReadonlySet<number> = new Set([0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]);

/** @returns null when `fields` are filled */
export function parseAck(firstByte: number, bytes: Buffer, bodyOffset: number, level: ProtocolLevel, fields: AckFields): PacketProblem | null {
  const type = firstByte >>> 4;
  const flags = firstByte & 0x0f;
  // [MQTT-2.1.3-1]; 3.1 repeats PUBREL with DUP
  if (flags !== (type === PUBREL ? 2 : 0) && !(level === 3 && type === PUBREL && flags === 0x0a)) return packetProblems.flags;
  const end = bytes.length;
  if (bodyOffset + 2 > end) return packetProblems.truncated;
  const packetId = (bytes[bodyOffset]! << 8) | bytes[bodyOffset + 1]!;
  if (packetId === 0) return packetProblems.packetIdZero;
  fields.packetId = packetId;
  fields.reasonCode = 0;
  let at = bodyOffset + 2;
  if (at === end) return null;
  if (level !== 5) return packetProblems.trailing;
  const code = bytes[at++]!;
  if (type === PUBREL || type === PUBCOMP ? code !== 0x00 && code !== 0x92 : !publishCodes.has(code)) return packetProblems.reasonCode;
  fields.reasonCode = code;
  if (at === end) return null;
  const length = readVariableLength(bytes, at, end);
  if (length < 0) return packetProblems.propertyBlock;
  at += length & 7;
  if (at + (length >>> 3) !== end) return at + (length >>> 3) > end ? packetProblems.truncated : packetProblems.trailing;
  return checkProperties(bytes, at, end, propertyPlace.ack);
}

/** @param firstByte with flags, e.g. 0x62 for PUBREL @param reasonCode only for MQTT 5, 0 is left out */
export function encodeAck(firstByte: number, packetId: number, reasonCode = 0): Buffer {
  const bytes = Buffer.allocUnsafe(reasonCode === 0 ? 4 : 5);
  bytes[0] = firstByte;
  bytes[1] = bytes.length - 2;
  bytes[2] = packetId >>> 8;
  bytes[3] = packetId & 0xff;
  if (reasonCode !== 0) bytes[4] = reasonCode;
  return bytes;
}
