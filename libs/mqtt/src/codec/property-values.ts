/** Property blocks as values and back: for control packets, and for the few who read a message's properties. */
import type { MqttProperties } from "@hawser/rules";
import { propertyEnd } from "./properties.ts";
import { propertyId, propertyRules, type PropertyName } from "./property-table.ts";
import { readVariableLength, variableLengthBytes, writeVariableLength } from "./variable-length.ts";

type NumberProperty =
  | "payloadFormatIndicator"
  | "messageExpiryInterval"
  | "sessionExpiryInterval"
  | "serverKeepAlive"
  | "requestProblemInformation"
  | "willDelayInterval"
  | "requestResponseInformation"
  | "receiveMaximum"
  | "topicAliasMaximum"
  | "topicAlias"
  | "maximumQos"
  | "retainAvailable"
  | "maximumPacketSize"
  | "wildcardSubscriptionAvailable"
  | "subscriptionIdentifierAvailable"
  | "sharedSubscriptionAvailable";
type BinaryProperty = "correlationData" | "authenticationData";
type TextProperty = Exclude<PropertyName, NumberProperty | BinaryProperty | "userProperty" | "subscriptionIdentifier">;

/** Single values by name, user properties and Subscription Identifiers in wire order. */
export type PropertyValues = { [K in NumberProperty]?: number } & { [K in TextProperty]?: string } & { [K in BinaryProperty]?: Buffer } & {
  userProperties?: (readonly [name: string, value: string])[];
  subscriptionIdentifiers?: number[];
};

export type PropertyValue = number | string | Buffer | readonly [name: string, value: string];
/** One property as it stands on the wire. */
export interface Property {
  readonly name: PropertyName;
  readonly value: PropertyValue;
}

/** In wire order. Binary values are views of the block. @throws RangeError when the block is malformed */
export function listProperties(block: Buffer): Property[] {
  const list: Property[] = [];
  for (let at = 0; at < block.length; ) {
    const stop = propertyEnd(block, at, block.length);
    if (stop < 0) throw new RangeError(`malformed property at byte ${at}`);
    const rule = propertyRules[block[at]!]!;
    list.push({ name: rule.name, value: readValue(block, at + 1, stop, rule.type) });
    at = stop;
  }
  return list;
}

function readValue(block: Buffer, at: number, stop: number, type: string): PropertyValue {
  switch (type) {
    case "byte":
      return block[at]!;
    case "u16":
      return block.readUInt16BE(at);
    case "u32":
      return block.readUInt32BE(at);
    case "varint":
      return readVariableLength(block, at, stop) >>> 3;
    case "text":
      return block.toString("utf8", at + 2, stop);
    case "binary":
      return block.subarray(at + 2, stop);
    default: {
      const middle = at + 2 + block.readUInt16BE(at);
      return [block.toString("utf8", at + 2, middle), block.toString("utf8", middle + 2, stop)];
    }
  }
}

/** @throws RangeError when the block is malformed */
export function readProperties(block: Buffer): PropertyValues {
  const values: PropertyValues = {};
  for (const { name, value } of listProperties(block)) {
    if (name === "userProperty") (values.userProperties ??= []).push(value as readonly [string, string]);
    else if (name === "subscriptionIdentifier") (values.subscriptionIdentifiers ??= []).push(value as number);
    else (values as Record<string, PropertyValue>)[name] = value;
  }
  return values;
}

/** @returns the block without its length. @throws RangeError when a text is longer than 65,535 bytes */
export function encodeProperties(list: readonly Property[]): Buffer {
  return Buffer.concat(list.map(encodeProperty));
}

function encodeProperty({ name, value }: Property): Buffer {
  const id = propertyId[name];
  switch (propertyRules[id]!.type) {
    case "byte":
      return Buffer.from([id, value as number]);
    case "u16": {
      const bytes = Buffer.from([id, 0, 0]);
      bytes.writeUInt16BE(value as number, 1);
      return bytes;
    }
    case "u32": {
      const bytes = Buffer.from([id, 0, 0, 0, 0]);
      bytes.writeUInt32BE(value as number, 1);
      return bytes;
    }
    case "varint": {
      const bytes = Buffer.alloc(1 + variableLengthBytes(value as number), id);
      writeVariableLength(bytes, 1, value as number);
      return bytes;
    }
    case "text":
      return withLength(id, Buffer.from(value as string));
    case "binary":
      return withLength(id, value as Buffer);
    case "pair": {
      const [key, text] = value as readonly [string, string];
      return Buffer.concat([withLength(id, Buffer.from(key)), withLength(-1, Buffer.from(text))]);
    }
  }
}

function withLength(id: number, content: Buffer): Buffer {
  if (content.length > 0xffff) throw new RangeError(`a property of ${content.length} bytes does not fit in 65,535`);
  const head = id < 0 ? Buffer.alloc(2) : Buffer.from([id, 0, 0]);
  head.writeUInt16BE(content.length, head.length - 2);
  return Buffer.concat([head, content]);
}

/** The values of a message's block in the form of libs/rules; null when there are none. */
export function messageProperties(block: Buffer | null): MqttProperties | null {
  if (block === null || block.length === 0) return null;
  const values = readProperties(block);
  return {
    ...(values.payloadFormatIndicator !== undefined && { payloadFormat: values.payloadFormatIndicator }),
    ...(values.messageExpiryInterval !== undefined && { expirySeconds: values.messageExpiryInterval }),
    ...(values.contentType !== undefined && { contentType: values.contentType }),
    ...(values.responseTopic !== undefined && { responseTopic: values.responseTopic }),
    ...(values.correlationData !== undefined && { correlationData: values.correlationData }),
    ...(values.userProperties !== undefined && { userProperties: values.userProperties }),
  };
}

/** The block of a message whose properties did not come from MQTT; null when there are none. */
export function encodeMessageProperties(properties: MqttProperties | null): Buffer | null {
  if (properties === null) return null;
  const list: Property[] = [];
  const add = (name: PropertyName, value: PropertyValue | undefined): void => {
    if (value !== undefined) list.push({ name, value });
  };
  add("payloadFormatIndicator", properties.payloadFormat);
  add("messageExpiryInterval", properties.expirySeconds);
  add("contentType", properties.contentType);
  add("responseTopic", properties.responseTopic);
  add("correlationData", properties.correlationData);
  for (const pair of properties.userProperties ?? []) add("userProperty", pair);
  return list.length > 0 ? encodeProperties(list) : null;
}
