/** SUBSCRIBE and UNSUBSCRIBE of a client (MQTT 5 3.8, 3.10; 3.1.1 the same without properties). */
import { packetProblems, type PacketProblem } from "./packet-problem.ts";
import { checkProperties, propertyOffset } from "./properties.ts";
import { propertyId, propertyPlace } from "./property-table.ts";
import { readVariableLength } from "./variable-length.ts";
import { decodeText } from "./utf8.ts";
import type { ProtocolLevel, Qos, SubscribeRequest, SubscriptionRequest, UnsubscribeRequest } from "../types.ts";

/** Where the filters begin, behind packet id and properties. */
interface Head {
  readonly packetId: number;
  readonly identifier: number;
  readonly at: number;
}

function readHead(firstByte: number, bytes: Buffer, bodyOffset: number, level: ProtocolLevel, place: number): Head | PacketProblem {
  const flags = firstByte & 0x0f;
  // [MQTT-3.8.1-1] [MQTT-3.10.1-1]; 3.1 repeats them with DUP
  if (flags !== 2 && !(level === 3 && flags === 0x0a)) return packetProblems.flags;
  const end = bytes.length;
  if (bodyOffset + 2 > end) return packetProblems.truncated;
  const packetId = bytes.readUInt16BE(bodyOffset);
  if (packetId === 0) return packetProblems.packetIdZero;
  let at = bodyOffset + 2;
  let identifier = 0;
  if (level === 5) {
    const length = readVariableLength(bytes, at, end);
    if (length < 0) return packetProblems.propertyBlock;
    at += length & 7;
    const stop = at + (length >>> 3);
    if (stop > end) return packetProblems.truncated;
    const problem = checkProperties(bytes, at, stop, place);
    if (problem) return problem;
    const block = bytes.subarray(at, stop);
    const found = propertyOffset(block, propertyId.subscriptionIdentifier);
    if (found >= 0) identifier = readVariableLength(block, found + 1, block.length) >>> 3;
    at = stop;
  }
  // [MQTT-3.8.3-2] [MQTT-3.10.3-2]
  return at === end ? packetProblems.noFilters : { packetId, identifier, at };
}


function readFilter(bytes: Buffer, at: number): string | PacketProblem {
  if (at + 2 > bytes.length) return packetProblems.truncated;
  const stop = at + 2 + bytes.readUInt16BE(at);
  if (stop > bytes.length) return packetProblems.truncated;
  return decodeText(bytes, at + 2, stop) ?? packetProblems.text;
}

export function isProblem(value: object): value is PacketProblem {
  return "reasonCode" in value && "reason" in value;
}

export function parseSubscribe(firstByte: number, bytes: Buffer, bodyOffset: number, level: ProtocolLevel): SubscribeRequest | PacketProblem {
  const head = readHead(firstByte, bytes, bodyOffset, level, propertyPlace.subscribe);
  if (isProblem(head)) return head;
  const subscriptions: SubscriptionRequest[] = [];
  for (let at = head.at; at < bytes.length; ) {
    const filter = readFilter(bytes, at);
    if (typeof filter !== "string") return filter;
    at += 2 + bytes.readUInt16BE(at);
    if (at >= bytes.length) return packetProblems.truncated;
    const options = bytes[at++]!;
    const qos = options & 3;
    // [MQTT-3.8.3-4] [MQTT-3.8.3-5]
    if (qos === 3 || (options & (level === 5 ? 0xc0 : 0xfc)) !== 0) return packetProblems.subscribeOptions;
    const retainHandling = (options >> 4) & 3;
    if (retainHandling === 3) return packetProblems.retainHandling;
    const noLocal = (options & 0x04) !== 0;
    // [MQTT-3.8.3-4] of MQTT 5
    if (noLocal && filter.startsWith("$share/")) return packetProblems.noLocalShared;
    subscriptions.push({ filter, qos: qos as Qos, noLocal, retainAsPublished: (options & 0x08) !== 0, retainHandling: retainHandling as 0 | 1 | 2 });
  }
  return { packetId: head.packetId, subscriptions, identifier: head.identifier };
}

export function parseUnsubscribe(firstByte: number, bytes: Buffer, bodyOffset: number, level: ProtocolLevel): UnsubscribeRequest | PacketProblem {
  const head = readHead(firstByte, bytes, bodyOffset, level, propertyPlace.unsubscribe);
  if (isProblem(head)) return head;
  const filters: string[] = [];
  for (let at = head.at; at < bytes.length; ) {
    const filter = readFilter(bytes, at);
    if (typeof filter !== "string") return filter;
    at += 2 + bytes.readUInt16BE(at);
    filters.push(filter);
  }
  return { packetId: head.packetId, filters };
}
