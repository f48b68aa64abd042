/**
 * Property blocks of MQTT 5 as they stand on the wire, without their length. Checking never
 * decodes, forwarding never re-encodes: the order of user properties is the publisher's
 * [MQTT-3.3.2-18].
 */
import { packetProblems, type PacketProblem } from "./packet-problem.ts";
import { propertyId, propertyPlace, propertyRules } from "./property-table.ts";
import { readVariableLength } from "./variable-length.ts";
import { isText } from "./utf8.ts";

const PLUS = 0x2b;
const HASH = 0x23;

/** @returns the offset behind the property that begins at `at`, or -1 when it is unknown or cut off */
export function propertyEnd(block: Buffer, at: number, end: number): number {
  const rule = propertyRules[block[at]!];
  if (!rule) return -1;
  at++;
  let stop: number;
  switch (rule.type) {
    case "byte":
      stop = at + 1;
      break;
    case "u16":
      stop = at + 2;
      break;
    case "u32":
      stop = at + 4;
      break;
    case "varint": {
      const read = readVariableLength(block, at, end);
      return read < 0 ? -1 : at + (read & 7);
    }
    case "text":
    case "binary":
      stop = textEnd(block, at, end);
      break;
    case "pair":
      stop = textEnd(block, at, end);
      if (stop > 0) stop = textEnd(block, stop, end);
      break;
  }
  return stop > end ? -1 : stop;
}

function textEnd(block: Buffer, at: number, end: number): number {
  if (at + 2 > end) return -1;
  const stop = at + 2 + ((block[at]! << 8) | block[at + 1]!);
  return stop > end ? -1 : stop;
}

/**
 * Strict check of a block: known properties, allowed in this packet, given once (but user
 * properties), in range, text well formed.
 * @param place one of propertyPlace
 */
export function checkProperties(block: Buffer, start: number, end: number, place: number): PacketProblem | null {
  let seenLow = 0;
  let seenHigh = 0;
  for (let at = start; at < end; ) {
    const id = block[at]!;
    const rule = propertyRules[id];
    if (!rule) return packetProblems.propertyUnknown;
    const stop = propertyEnd(block, at, end);
    if (stop < 0) return packetProblems.propertyBlock;
    if ((rule.places & place) === 0) return packetProblems.propertyPlace;
    if (id !== propertyId.userProperty && !(id === propertyId.subscriptionIdentifier && place === propertyPlace.publishToClient)) {
      const bit = 1 << (id & 31);
      if (((id < 32 ? seenLow : seenHigh) & bit) !== 0) return packetProblems.propertyTwice;
      if (id < 32) seenLow |= bit;
      else seenHigh |= bit;
    }
    const problem = checkValue(block, at + 1, stop, rule);
    if (problem) return problem;
    at = stop;
  }
  return null;
}

function checkValue(block: Buffer, at: number, stop: number, rule: NonNullable<(typeof propertyRules)[number]>): PacketProblem | null {
  let value: number;
  switch (rule.type) {
    case "byte":
      value = block[at]!;
      break;
    case "u16":
      value = block.readUInt16BE(at);
      break;
    case "u32":
      value = block.readUInt32BE(at);
      break;
    case "varint":
      value = readVariableLength(block, at, stop) >>> 3;
      break;
    case "text":
      if (!isText(block, at + 2, stop)) return packetProblems.text;
      // [MQTT-3.3.2-14]
      if (rule.name === "responseTopic" && (stop === at + 2 || hasWildcard(block, at + 2, stop))) return packetProblems.responseTopic;
      return null;
    case "binary":
      return null;
    case "pair": {
      const middle = textEnd(block, at, stop);
      return isText(block, at + 2, middle) && isText(block, middle + 2, stop) ? null : packetProblems.text;
    }
  }
  return value < rule.minimum || value > rule.maximum ? packetProblems.propertyValue : null;
}

export function hasWildcard(block: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at++) if (block[at] === PLUS || block[at] === HASH) return true;
  return false;
}

/** @param block checked @returns offset of the first property with this identifier, or -1 */
export function propertyOffset(block: Buffer, id: number): number {
  for (let at = 0; at < block.length; ) {
    if (block[at] === id) return at;
    const stop = propertyEnd(block, at, block.length);
    if (stop < 0) return -1;
    at = stop;
  }
  return -1;
}

/** Topic alias of a checked PUBLISH block, or -1. */
export function topicAliasOf(block: Buffer, start: number, end: number): number {
  for (let at = start; at < end; at = propertyEnd(block, at, end)) {
    if (block[at] === propertyId.topicAlias) return block.readUInt16BE(at + 1);
  }
  return -1;
}

function isForwardable(id: number): boolean {
  return (
    id === propertyId.payloadFormatIndicator ||
    id === propertyId.messageExpiryInterval ||
    id === propertyId.contentType ||
    id === propertyId.responseTopic ||
    id === propertyId.correlationData ||
    id === propertyId.userProperty
  );
}

/**
 * What a receiver is told of a PUBLISH's (or a will's) properties, in wire order.
 * @param block checked, as in InboundPublish.properties
 * @returns `block` itself when nothing has to go, null when nothing is left
 */
export function forwardableProperties(block: Buffer | null): Buffer | null {
  if (block === null || block.length === 0) return null;
  let kept = 0;
  for (let at = 0; at < block.length; ) {
    const stop = propertyEnd(block, at, block.length);
    if (stop < 0) throw new RangeError("property block was not checked");
    if (isForwardable(block[at]!)) kept += stop - at;
    at = stop;
  }
  if (kept === block.length) return block;
  if (kept === 0) return null;
  const result = Buffer.allocUnsafe(kept);
  let to = 0;
  for (let at = 0; at < block.length; ) {
    const stop = propertyEnd(block, at, block.length);
    if (isForwardable(block[at]!)) to += block.copy(result, to, at, stop);
    at = stop;
  }
  return result;
}
