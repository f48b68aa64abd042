/** PUBLISH of a client, by hand: this runs for every message (MQTT 5 3.3, 3.1.1 3.3). */
import { packetProblems, type PacketProblem } from "./packet-problem.ts";
import { checkProperties, topicAliasOf } from "./properties.ts";
import { propertyPlace } from "./property-table.ts";
import { readVariableLength } from "./variable-length.ts";
import { decodeText } from "./utf8.ts";
import type { ProtocolLevel, Qos } from "../types.ts";

/** Filled by parsePublish; one instance serves all packets. */
export interface PublishFields {
  /** Empty: the alias tells. */
  topic: string;
  qos: Qos;
  dup: boolean;
  retain: boolean;
  packetId: number;
  /** -1 = none. */
  topicAlias: number;
  properties: Buffer | null;
  payload: Buffer;
}

const EMPTY = Buffer.alloc(0);

export function newPublishFields(): PublishFields {
  return { topic: "", qos: 0, dup: false, retain: false, packetId: 0, topicAlias: -1, properties: null, payload: EMPTY };
}

/** @returns null when `fields` are filled; buffers are views of `bytes` */
export function parsePublish(firstByte: number, bytes: Buffer, bodyOffset: number, level: ProtocolLevel, fields: PublishFields): PacketProblem | null {
  const qos = (firstByte >> 1) & 3;
  if (qos === 3) return packetProblems.qos3;
  const dup = (firstByte & 0x08) !== 0;
  // [MQTT-3.3.1-2]; 3.1 leaves the flag open
  if (dup && qos === 0 && level !== 3) return packetProblems.dupQos0;
  const end = bytes.length;
  let at = bodyOffset + 2;
  if (at > end) return packetProblems.truncated;
  const topicEnd = at + ((bytes[bodyOffset]! << 8) | bytes[bodyOffset + 1]!);
  if (topicEnd > end) return packetProblems.truncated;
  const topic = decodeText(bytes, at, topicEnd);
  if (topic === null) return packetProblems.text;
  at = topicEnd;
  let packetId = 0;
  if (qos > 0) {
    if (at + 2 > end) return packetProblems.truncated;
    packetId = (bytes[at]! << 8) | bytes[at + 1]!;
    if (packetId === 0) return packetProblems.packetIdZero;
    at += 2;
  }
  fields.topicAlias = -1;
  fields.properties = null;
  if (level === 5) {
    const length = readVariableLength(bytes, at, end);
    if (length < 0) return packetProblems.propertyBlock;
    at += length & 7;
    const stop = at + (length >>> 3);
    if (stop > end) return packetProblems.truncated;
    if (stop > at) {
      const problem = checkProperties(bytes, at, stop, propertyPlace.publish);
      if (problem) return problem;
      fields.topicAlias = topicAliasOf(bytes, at, stop);
      fields.properties = bytes.subarray(at, stop);
      at = stop;
    }
  }
  if (topic === "" && fields.topicAlias < 0) return packetProblems.topicEmpty;
  fields.topic = topic;
  fields.qos = qos as Qos;
  fields.dup = dup;
  fields.retain = (firstByte & 0x01) !== 0;
  fields.packetId = packetId;
  fields.payload = at === end ? EMPTY : bytes.subarray(at);
  return null;
}
