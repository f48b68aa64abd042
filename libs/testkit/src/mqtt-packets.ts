/**
 * Packets of MQTT as bytes, to be sent whole, in parts or broken. Independent of libs/mqtt and of
 * any MQTT library, so that a test does not repeat their mistakes.
 */
import { ByteReader, field, packet, u16, u8 } from "./mqtt-bytes.ts";
import { encodeProperties, type Properties, readProperties } from "./mqtt-properties.ts";

/** 3 = MQTT 3.1, 4 = 3.1.1, 5 = 5. */
export type ProtocolLevel = 3 | 4 | 5;
export type Qos = 0 | 1 | 2;

export interface ConnectFields {
  readonly clientId?: string;
  /** Default true. */
  readonly clean?: boolean;
  /** Default 60. */
  readonly keepAliveSeconds?: number;
  readonly username?: string;
  readonly password?: string | Uint8Array;
  readonly will?: { readonly topic: string; readonly payload?: string | Uint8Array; readonly qos?: Qos; readonly retain?: boolean; readonly properties?: Properties };
  readonly properties?: Properties;
}

export interface PublishFields {
  readonly topic: string;
  readonly payload?: string | Uint8Array;
  /** Default 0. */
  readonly qos?: Qos;
  /** Needed for QoS 1 and 2. */
  readonly packetId?: number;
  readonly retain?: boolean;
  readonly dup?: boolean;
  readonly properties?: Properties;
}

export interface SubscribeEntry {
  readonly filter: string;
  readonly qos?: Qos;
  readonly noLocal?: boolean;
  readonly retainAsPublished?: boolean;
  readonly retainHandling?: 0 | 1 | 2;
}

/** What a server or client sent. Fields that a packet type does not have are absent. */
export interface ParsedPacket {
  readonly type: PacketType;
  readonly packetId?: number;
  /** CONNACK's return code in 3.x; 0 where MQTT 5 leaves it out. */
  readonly reasonCode?: number;
  /** SUBACK, and UNSUBACK of MQTT 5. */
  readonly reasonCodes?: readonly number[];
  readonly sessionPresent?: boolean;
  readonly topic?: string;
  readonly payload?: Buffer;
  readonly qos?: Qos;
  readonly dup?: boolean;
  readonly retain?: boolean;
  readonly properties?: Properties;
}

const types = ["reserved", "connect", "connack", "publish", "puback", "pubrec", "pubrel", "pubcomp", "subscribe", "suback", "unsubscribe", "unsuback", "pingreq", "pingresp", "disconnect", "auth"] as const;
export type PacketType = (typeof types)[number];

function typeNumber(type: PacketType): number {
  return types.indexOf(type);
}

const NOTHING = Buffer.alloc(0);

/** Writes and reads the packets of one protocol level. */
export function mqttPackets(level: ProtocolLevel) {
  const props = (properties?: Properties): Buffer => (level === 5 ? encodeProperties(properties) : NOTHING);

  const acknowledgement = (type: "puback" | "pubrec" | "pubrel" | "pubcomp") => (packetId: number, reasonCode = 0, properties?: Properties): Buffer =>
    packet(typeNumber(type), type === "pubrel" ? 2 : 0, u16(packetId), ...(level === 5 && (reasonCode !== 0 || properties) ? [u8(reasonCode), props(properties)] : []));

  return {
    connect(fields: ConnectFields = {}): Buffer {
      const { clientId = "", clean = true, keepAliveSeconds = 60, username, password, will } = fields;
      const flags =
        (clean ? 2 : 0) | (will ? 4 | ((will.qos ?? 0) << 3) | (will.retain ? 32 : 0) : 0) | (password === undefined ? 0 : 64) | (username === undefined ? 0 : 128);
      return packet(
        typeNumber("connect"),
        0,
        field(level === 3 ? "MQIsdp" : "MQTT"),
        u8(level),
        u8(flags),
        u16(keepAliveSeconds),
        props(fields.properties),
        field(clientId),
        ...(will ? [props(will.properties), field(will.topic), field(will.payload ?? "")] : []),
        ...(username === undefined ? [] : [field(username)]),
        ...(password === undefined ? [] : [field(password)]),
      );
    },

    publish(fields: PublishFields): Buffer {
      const { topic, payload = "", qos = 0, packetId, retain, dup, properties } = fields;
      const flags = (dup ? 8 : 0) | (qos << 1) | (retain ? 1 : 0);
      return packet(typeNumber("publish"), flags, field(topic), ...(packetId === undefined ? [] : [u16(packetId)]), props(properties), Buffer.from(payload as string));
    },

    puback: acknowledgement("puback"),
    pubrec: acknowledgement("pubrec"),
    pubrel: acknowledgement("pubrel"),
    pubcomp: acknowledgement("pubcomp"),

    subscribe(packetId: number, entries: readonly (SubscribeEntry | string)[], properties?: Properties): Buffer {
      const body = entries.map((entry) => {
        const { filter, qos = 0, noLocal, retainAsPublished, retainHandling = 0 } = typeof entry === "string" ? { filter: entry } : entry;
        return Buffer.concat([field(filter), u8(qos | (noLocal ? 4 : 0) | (retainAsPublished ? 8 : 0) | (retainHandling << 4))]);
      });
      return packet(typeNumber("subscribe"), 2, u16(packetId), props(properties), ...body);
    },

    unsubscribe(packetId: number, filters: readonly string[], properties?: Properties): Buffer {
      return packet(typeNumber("unsubscribe"), 2, u16(packetId), props(properties), ...filters.map(field));
    },

    pingreq(): Buffer {
      return packet(typeNumber("pingreq"), 0);
    },

    disconnect(reasonCode = 0, properties?: Properties): Buffer {
      return packet(typeNumber("disconnect"), 0, ...(level === 5 && (reasonCode !== 0 || properties) ? [u8(reasonCode), props(properties)] : []));
    },

    auth(reasonCode = 0, properties?: Properties): Buffer {
      return packet(typeNumber("auth"), 0, u8(reasonCode), props(properties));
    },

    /** Any packet, also one that must not exist. */
    raw: packet,

    /** @returns the first whole packet of the bytes and how long it is; null when there is none yet. @throws RangeError when it is malformed */
    parse(bytes: Buffer): { readonly packet: ParsedPacket; readonly length: number } | null {
      const header = fixedHeader(bytes);
      if (!header || bytes.length < header.start + header.length) return null;
      const body = new ByteReader(bytes.subarray(header.start, header.start + header.length));
      return { packet: parseBody(level, types[bytes[0]! >> 4]!, bytes[0]! & 15, body), length: header.start + header.length };
    },
  };
}

function fixedHeader(bytes: Buffer): { readonly start: number; readonly length: number } | null {
  let length = 0;
  for (let at = 1; at <= 4; at++) {
    const byte = bytes[at];
    if (byte === undefined) return null;
    length += (byte & 127) * 128 ** (at - 1);
    if (byte < 128) return { start: at + 1, length };
  }
  throw new RangeError("remaining length of more than 4 bytes");
}

function parseBody(level: ProtocolLevel, type: PacketType, flags: number, body: ByteReader): ParsedPacket {
  const props = (): { properties?: Properties } => (level === 5 ? { properties: body.left > 0 ? readProperties(body) : {} } : {});
  switch (type) {
    case "connack": {
      const sessionPresent = (body.u8() & 1) === 1;
      return { type, sessionPresent, reasonCode: body.u8(), ...props() };
    }
    case "publish": {
      const qos = ((flags >> 1) & 3) as Qos;
      const topic = body.text();
      const packetId = qos > 0 ? { packetId: body.u16() } : {};
      return { type, topic, qos, dup: (flags & 8) !== 0, retain: (flags & 1) !== 0, ...packetId, ...props(), payload: body.rest() };
    }
    case "puback":
    case "pubrec":
    case "pubrel":
    case "pubcomp": {
      const packetId = body.u16();
      if (level !== 5) return { type, packetId };
      return { type, packetId, reasonCode: body.left > 0 ? body.u8() : 0, ...props() };
    }
    case "suback":
    case "unsuback": {
      const packetId = body.u16();
      const properties = props();
      return { type, packetId, ...properties, ...(type === "suback" || level === 5 ? { reasonCodes: [...body.rest()] } : {}) };
    }
    case "disconnect":
    case "auth":
      return level === 5 ? { type, reasonCode: body.left > 0 ? body.u8() : 0, ...props() } : { type };
    case "pingreq":
    case "pingresp":
      return { type };
    default:
      throw new RangeError(`${type} is not read here`);
  }
}
