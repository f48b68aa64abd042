import { ByteReader, field, u16, u32, u8, varint } from "./mqtt-bytes.ts";

type Kind = "byte" | "two" | "four" | "varint" | "text" | "binary" | "pair";

/** MQTT 5, table 2-4. */
const table = {
  payloadFormatIndicator: [0x01, "byte"],
  messageExpiryInterval: [0x02, "four"],
  contentType: [0x03, "text"],
  responseTopic: [0x08, "text"],
  correlationData: [0x09, "binary"],
  subscriptionIdentifier: [0x0b, "varint"],
  sessionExpiryInterval: [0x11, "four"],
  assignedClientIdentifier: [0x12, "text"],
  serverKeepAlive: [0x13, "two"],
  authenticationMethod: [0x15, "text"],
  authenticationData: [0x16, "binary"],
  requestProblemInformation: [0x17, "byte"],
  willDelayInterval: [0x18, "four"],
  requestResponseInformation: [0x19, "byte"],
  responseInformation: [0x1a, "text"],
  serverReference: [0x1c, "text"],
  reasonString: [0x1f, "text"],
  receiveMaximum: [0x21, "two"],
  topicAliasMaximum: [0x22, "two"],
  topicAlias: [0x23, "two"],
  maximumQoS: [0x24, "byte"],
  retainAvailable: [0x25, "byte"],
  userProperty: [0x26, "pair"],
  maximumPacketSize: [0x27, "four"],
  wildcardSubscriptionAvailable: [0x28, "byte"],
  subscriptionIdentifierAvailable: [0x29, "byte"],
  sharedSubscriptionAvailable: [0x2a, "byte"],
} as const satisfies Record<string, readonly [number, Kind]>;

export type PropertyName = keyof typeof table;
/** Written in this order; user properties as a list of pairs, a subscription identifier also as a list. */
export type Properties = { readonly [K in PropertyName]?: PropertyValue };
export type PropertyValue = number | string | Uint8Array | readonly number[] | readonly (readonly [string, string])[];

const byId = new Map(Object.entries(table).map(([name, [id, kind]]) => [id as number, { name: name as PropertyName, kind: kind as Kind }]));

/** With its length before it. */
export function encodeProperties(properties: Properties = {}): Buffer {
  const parts: Buffer[] = [];
  for (const [name, value] of Object.entries(properties) as [PropertyName, PropertyValue][]) {
    const [id, kind] = table[name];
    const values = Array.isArray(value) ? (value as readonly unknown[]) : [value];
    for (const each of values) parts.push(u8(id), encodeValue(kind, each));
  }
  const body = Buffer.concat(parts);
  return Buffer.concat([varint(body.length), body]);
}

function encodeValue(kind: Kind, value: unknown): Buffer {
  switch (kind) {
    case "byte":
      return u8(value as number);
    case "two":
      return u16(value as number);
    case "four":
      return u32(value as number);
    case "varint":
      return varint(value as number);
    case "text":
    case "binary":
      return field(value as string | Uint8Array);
    case "pair": {
      const [key, text] = value as readonly [string, string];
      return Buffer.concat([field(key), field(text)]);
    }
  }
}

export function readProperties(reader: ByteReader): Properties {
  const own = new ByteReader(reader.take(reader.varint()));
  const properties: Partial<Record<PropertyName, PropertyValue>> = {};
  while (own.left > 0) {
    const id = own.varint();
    const known = byId.get(id);
    if (!known) throw new RangeError(`property 0x${id.toString(16)} is not known`);
    const value = readValue(known.kind, own);
    if (known.kind === "pair" || known.name === "subscriptionIdentifier") properties[known.name] = [...((properties[known.name] as never[]) ?? []), value as never];
    else properties[known.name] = value as PropertyValue;
  }
  return properties;
}

function readValue(kind: Kind, reader: ByteReader): number | string | Buffer | [string, string] {
  switch (kind) {
    case "byte":
      return reader.u8();
    case "two":
      return reader.u16();
    case "four":
      return reader.u32();
    case "varint":
      return reader.varint();
    case "text":
      return reader.text();
    case "binary":
      return reader.binary();
    case "pair":
      return [reader.text(), reader.text()];
  }
}
