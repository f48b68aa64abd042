/**
 * The outline of a CONNECT, checked strictly before a parser of a dialect sees it: protocol name
 * and level, flags, every length, every string, every property (MQTT 5 3.1, 3.1.1 3.1).
 */
import { packetProblems, type PacketProblem } from "./packet-problem.ts";
import { checkProperties, hasWildcard, propertyOffset } from "./properties.ts";
import { propertyId, propertyPlace } from "./property-table.ts";
import { readVariableLength } from "./variable-length.ts";
import { isText } from "./utf8.ts";
import type { ProtocolLevel } from "../types.ts";

export const connectFlag = { cleanStart: 0x02, will: 0x04, willQos: 0x18, willRetain: 0x20, password: 0x40, userName: 0x80 } as const;

export interface ConnectOutline {
  readonly level: ProtocolLevel;
  readonly flags: number;
  /** Offset of the flags byte. */
  readonly flagsAt: number;
  readonly properties: Buffer | null;
  readonly willProperties: Buffer | null;
  readonly hasClientId: boolean;
  /** 3.1: flags may announce a user name or password that is not there. */
  readonly isCutShort: boolean;
}

/** A problem, and the level the client may have meant: 0 when not even that can be told. */
export interface ConnectProblem {
  readonly problem: PacketProblem;
  readonly level: ProtocolLevel | 0;
}

/** Level of an unknown version byte: what its refusal should look like. */
function nearestLevel(version: number): ProtocolLevel {
  const low = version & 0x7f;
  return low >= 5 ? 5 : low === 4 ? 4 : 3;
}

export function outlineConnect(firstByte: number, bytes: Buffer, bodyOffset: number): ConnectOutline | ConnectProblem {
  let level: ProtocolLevel | 0 = 0;
  const fail = (problem: PacketProblem): ConnectProblem => ({ problem, level });
  const end = bytes.length;
  let at = bodyOffset;

  /** @returns end of the length-prefixed field that begins at `at`, or -1 */
  const fieldEnd = (): number => {
    if (at + 2 > end) return -1;
    const stop = at + 2 + bytes.readUInt16BE(at);
    return stop > end ? -1 : stop;
  };

  const nameEnd = fieldEnd();
  if (nameEnd < 0 || nameEnd + 1 > end) return fail(packetProblems.truncated);
  const name = bytes.toString("latin1", at + 2, nameEnd);
  const version = bytes[nameEnd]!;
  if (name !== "MQTT" && name !== "MQIsdp") return fail(packetProblems.protocolName);
  level = nearestLevel(version);
  if (version !== level || (name === "MQTT") !== level > 3) return fail(packetProblems.protocolLevel);
  if (firstByte !== 0x10) return fail(packetProblems.flags);
  // [MQTT-1.5.5-1]
  if (level === 5 && bodyOffset > 2 && bytes[bodyOffset - 1] === 0) return fail(packetProblems.length);

  const flagsAt = nameEnd + 1;
  at = flagsAt + 3;
  if (at > end) return fail(packetProblems.truncated);
  const flags = bytes[flagsAt]!;
  const will = (flags & connectFlag.will) !== 0;
  // [MQTT-3.1.2-3]; 3.1 leaves the bit open
  if ((flags & 1) !== 0 && level > 3) return fail(packetProblems.connectFlags);
  // [MQTT-3.1.2-11] [MQTT-3.1.2-12] [MQTT-3.1.2-13]
  if (will ? (flags & connectFlag.willQos) === connectFlag.willQos : (flags & (connectFlag.willQos | connectFlag.willRetain)) !== 0) return fail(packetProblems.willFlags);
  // 3.1.1 [MQTT-3.1.2-22]; MQTT 5 allows it
  if (level < 5 && (flags & connectFlag.password) !== 0 && (flags & connectFlag.userName) === 0) return fail(packetProblems.passwordWithoutUser);

  let properties: Buffer | null = null;
  let willProperties: Buffer | null = null;
  const block = (place: number): Buffer | PacketProblem => {
    const length = readVariableLength(bytes, at, end);
    if (length < 0) return packetProblems.propertyBlock;
    const start = at + (length & 7);
    const stop = start + (length >>> 3);
    if (stop > end) return packetProblems.truncated;
    at = stop;
    return checkProperties(bytes, start, stop, place) ?? bytes.subarray(start, stop);
  };
  if (level === 5) {
    const read = block(propertyPlace.connect);
    if (!Buffer.isBuffer(read)) return fail(read);
    // 3.1.2.11.10
    if (propertyOffset(read, propertyId.authenticationData) >= 0 && propertyOffset(read, propertyId.authenticationMethod) < 0) return fail(packetProblems.authDataWithoutMethod);
    properties = read;
  }

  let stop = fieldEnd();
  if (stop < 0) return fail(packetProblems.truncated);
  // [MQTT-3.1.3-4]
  if (!isText(bytes, at + 2, stop)) return fail(packetProblems.text);
  const hasClientId = stop > at + 2;
  at = stop;

  if (will) {
    if (level === 5) {
      const read = block(propertyPlace.will);
      if (!Buffer.isBuffer(read)) return fail(read);
      willProperties = read;
    }
    stop = fieldEnd();
    if (stop < 0) return fail(packetProblems.truncated);
    // [MQTT-3.1.3-11]
    if (!isText(bytes, at + 2, stop)) return fail(packetProblems.text);
    if (stop === at + 2) return fail(packetProblems.willTopic);
    // [MQTT-3.3.2-2]: it is a topic name
    if (hasWildcard(bytes, at + 2, stop)) return fail(packetProblems.willTopicWildcard);
    at = stop;
    stop = fieldEnd();
    if (stop < 0) return fail(packetProblems.truncated);
    at = stop;
  }
  let isCutShort = false;
  for (const flag of [connectFlag.userName, connectFlag.password]) {
    if ((flags & flag) === 0) continue;
    if (level === 3 && at === end) {
      isCutShort = true;
      break;
    }
    stop = fieldEnd();
    if (stop < 0) return fail(packetProblems.truncated);
    // [MQTT-3.1.3-12]
    if (flag === connectFlag.userName && !isText(bytes, at + 2, stop)) return fail(packetProblems.text);
    at = stop;
  }
  if (at !== end) return fail(packetProblems.trailing);
  return { level, flags, flagsAt, properties, willProperties, hasClientId, isCutShort };
}
