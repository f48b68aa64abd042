import fc from "fast-check";
import mqttPacket, { type IPublishPacket, type ISubscribePacket, type Packet } from "mqtt-packet";
import { describe, expect, it } from "vitest";
import { checkProperties, encodeMessageProperties, encodeProperties, listProperties, messageProperties, propertyPlace, readProperties, type Property } from "../src/index.ts";
import { parsePublish, newPublishFields } from "../src/codec/publish.ts";
import { parseSubscribe, parseUnsubscribe } from "../src/codec/subscribe.ts";
import { encodeAck, parseAck } from "../src/codec/acks.ts";
import { decodeText, isText } from "../src/codec/utf8.ts";
import { isClientDisconnectCode, reasonCodeName, reasonCodes, refusalOf, returnCodeFor } from "../src/index.ts";
import type { ProtocolLevel } from "../src/types.ts";

const level = fc.constantFrom<ProtocolLevel>(3, 4, 5);
const text = fc.string({ unit: "binary", maxLength: 30 }).filter((value) => value.isWellFormed() && !value.includes("\0"));
const topic = text.filter((value) => value.length > 0 && !/[+#]/.test(value));
const bytes = fc.uint8Array({ maxLength: 30 }).map((value) => Buffer.from(value));
const packetId = fc.integer({ min: 1, max: 65_535 });
const u32 = fc.integer({ min: 0, max: 0xffff_ffff });

const publishProperties = fc
  .record(
    { payloadFormatIndicator: fc.boolean(), messageExpiryInterval: u32, topicAlias: fc.integer({ min: 1, max: 65_535 }), responseTopic: topic, correlationData: bytes, contentType: text, userProperties: fc.dictionary(text.filter((key) => key !== "" && !/^\d+$/.test(key) && key !== "__proto__"), text, { minKeys: 1, maxKeys: 4 }) },
    { requiredKeys: [] },
  );

function bodyOf(packet: Buffer): number {
  let at = 1;
  while (packet[at]! >= 0x80) at++;
  return at + 1;
}

describe("PUBLISH", () => {
  it("written by mqtt-packet reads as what it says, for every version", () => {
    fc.assert(
      fc.property(level, topic, fc.uint8Array({ maxLength: 500 }), fc.constantFrom(0, 1, 2), fc.boolean(), fc.boolean(), packetId, publishProperties, (version, name, payload, qos, dup, retain, id, properties) => {
        const wire = mqttPacket.generate({ cmd: "publish", topic: name, payload: Buffer.from(payload), qos, dup: qos > 0 && dup, retain, ...(qos > 0 && { messageId: id }), properties } as Packet, { protocolVersion: version });
        const fields = newPublishFields();
        expect(parsePublish(wire[0]!, wire, bodyOf(wire), version, fields)).toBeNull();
        expect(fields).toMatchObject({ topic: name, qos, dup: qos > 0 && dup, retain, packetId: qos > 0 ? id : 0, topicAlias: version === 5 ? (properties.topicAlias ?? -1) : -1 });
        expect(fields.payload.equals(Buffer.from(payload))).toBe(true);
        if (version !== 5) {
          expect(fields.properties).toBeNull();
          return;
        }
        const { payloadFormatIndicator, userProperties, ...rest } = properties;
        const { userProperties: pairs, payloadFormatIndicator: format, ...values } = fields.properties === null ? {} : readProperties(fields.properties);
        expect(values).toEqual(rest);
        expect(format === undefined ? undefined : format === 1).toBe(payloadFormatIndicator);
        expect(Object.fromEntries(pairs ?? [])).toEqual({ ...userProperties });
      }),
      { numRuns: 300 },
    );
  });

  it("cut off anywhere is a problem or a shorter payload, never read beyond its end", () => {
    const wire = mqttPacket.generate({ cmd: "publish", topic: "a/b", payload: "xyz", qos: 1, dup: false, retain: false, messageId: 9, properties: { contentType: "c" } } as IPublishPacket, { protocolVersion: 5 });
    const offset = bodyOf(wire);
    for (let end = offset; end < wire.length - 3; end++) {
      expect(parsePublish(wire[0]!, wire.subarray(0, end), offset, 5, newPublishFields())).not.toBeNull();
    }
  });
});

describe("SUBSCRIBE and UNSUBSCRIBE", () => {
  it("written by mqtt-packet read as what they say", () => {
    fc.assert(
      fc.property(level, packetId, fc.array(fc.record({ topic: text.filter((value) => value !== "" && !value.startsWith("$share/")), qos: fc.constantFrom(0 as const, 1 as const, 2 as const), nl: fc.boolean(), rap: fc.boolean(), rh: fc.nat(2) }), { minLength: 1, maxLength: 8 }), fc.option(fc.integer({ min: 1, max: 268_435_455 }), { nil: undefined }), (version, messageId, subscriptions, subscriptionIdentifier) => {
        const packet: ISubscribePacket = { cmd: "subscribe", messageId, subscriptions, ...(subscriptionIdentifier !== undefined && { properties: { subscriptionIdentifier } }) };
        const wire = mqttPacket.generate(packet, { protocolVersion: version });
        const five = version === 5;
        expect(parseSubscribe(wire[0]!, wire, bodyOf(wire), version)).toEqual({
          packetId: messageId,
          identifier: five ? (subscriptionIdentifier ?? 0) : 0,
          subscriptions: subscriptions.map((one) => ({ filter: one.topic, qos: one.qos, noLocal: five && one.nl, retainAsPublished: five && one.rap, retainHandling: five ? one.rh : 0 })),
        });
        const filters = subscriptions.map((one) => one.topic);
        const other = mqttPacket.generate({ cmd: "unsubscribe", messageId, unsubscriptions: filters }, { protocolVersion: version });
        expect(parseUnsubscribe(other[0]!, other, bodyOf(other), version)).toEqual({ packetId: messageId, filters });
        // no prefix of the packet is taken for the whole
        for (let end = bodyOf(wire); end < wire.length; end++) {
          const part = parseSubscribe(wire[0]!, wire.subarray(0, end), bodyOf(wire), version);
          if ("subscriptions" in part) expect(part.subscriptions.length).toBeLessThan(subscriptions.length);
        }
      }),
      { numRuns: 200 },
    );
  });
});

describe("acknowledgements", () => {
  it.each([
    ["puback", 0x40, 0x97],
    ["pubrec", 0x50, 0x10],
    ["pubrel", 0x62, 0x92],
    ["pubcomp", 0x70, 0x92],
  ] as const)("%s reads and writes like mqtt-packet's", (cmd, firstByte, reasonCode) => {
    for (const code of [0, reasonCode]) {
      const wire = mqttPacket.generate({ cmd, messageId: 4660, reasonCode: code } as Packet, { protocolVersion: 5 });
      const fields = { packetId: 0, reasonCode: -1 };
      expect(parseAck(wire[0]!, wire, bodyOf(wire), 5, fields)).toBeNull();
      expect(fields).toEqual({ packetId: 4660, reasonCode: code });
      const ours = encodeAck(firstByte, 4660, code);
      expect(parseAck(ours[0]!, ours, 2, 5, fields)).toBeNull();
      expect(fields).toEqual({ packetId: 4660, reasonCode: code });
    }
    const withProperties = mqttPacket.generate({ cmd, messageId: 1, reasonCode: 0, properties: { reasonString: "r", userProperties: { a: "b" } } } as Packet, { protocolVersion: 5 });
    expect(parseAck(withProperties[0]!, withProperties, 2, 5, { packetId: 0, reasonCode: 0 })).toBeNull();
    const old = encodeAck(firstByte, 7);
    expect(old.equals(mqttPacket.generate({ cmd, messageId: 7 } as Packet, { protocolVersion: 4 }))).toBe(true);
  });
});

describe("property blocks", () => {
  const property = fc.oneof<fc.Arbitrary<Property>[]>(
    fc.record({ name: fc.constant("contentType" as const), value: text }),
    fc.record({ name: fc.constant("messageExpiryInterval" as const), value: u32 }),
    fc.record({ name: fc.constant("correlationData" as const), value: bytes }),
    fc.record({ name: fc.constant("payloadFormatIndicator" as const), value: fc.nat(1) }),
    fc.record({ name: fc.constant("userProperty" as const), value: fc.tuple(text, text) }),
    fc.record({ name: fc.constant("subscriptionIdentifier" as const), value: fc.integer({ min: 1, max: 268_435_455 }) }),
    fc.record({ name: fc.constant("topicAlias" as const), value: fc.nat(65_535) }),
  );

  it("read back as they were written, in order", () => {
    fc.assert(
      fc.property(fc.array(property, { maxLength: 12 }), (list) => {
        const block = encodeProperties(list);
        expect(listProperties(block)).toEqual(list);
        const names = list.filter((one) => one.name !== "userProperty" && one.name !== "subscriptionIdentifier").map((one) => one.name);
        const problem = checkProperties(block, 0, block.length, propertyPlace.publishToClient);
        expect(problem?.reason).toBe(new Set(names).size === names.length ? undefined : "property given twice");
        if (list.some((one) => one.name === "subscriptionIdentifier")) expect(checkProperties(block, 0, block.length, propertyPlace.publish)).not.toBeNull();
        for (let end = 0; end < block.length; end++) checkProperties(block, 0, end, propertyPlace.publish);
      }),
      { numRuns: 300 },
    );
  });

  it("of messages go to the form of the rules and back", () => {
    const properties = { payloadFormat: 1, expirySeconds: 9, contentType: "c", responseTopic: "r", correlationData: Buffer.from([1]), userProperties: [["b", "1"], ["a", "2"], ["b", "3"]] as [string, string][] };
    expect(messageProperties(encodeMessageProperties(properties))).toEqual(properties);
    expect(encodeMessageProperties(null)).toBeNull();
    expect(encodeMessageProperties({})).toBeNull();
    expect(messageProperties(null)).toBeNull();
  });

  it("too long to be written are refused", () => {
    expect(() => encodeProperties([{ name: "contentType", value: "x".repeat(65_536) }])).toThrow(RangeError);
  });
});

describe("text", () => {
  it("is UTF-8 without U+0000 and surrogates, decoded like everywhere", () => {
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 40 }).map((value) => Buffer.from(value)), fc.string({ unit: "binary" }).map((value) => Buffer.from(value))), (source) => {
        const expected = source.includes(0) ? null : new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
        let decoded: string | null = null;
        try {
          decoded = expected?.decode(source) ?? null;
        } catch {
          decoded = null;
        }
        expect(decodeText(source, 0, source.length)).toBe(decoded);
        expect(isText(source, 0, source.length)).toBe(decoded !== null);
      }),
      { numRuns: 500 },
    );
  });

  it("keeps a byte order mark, which is a character like others [MQTT-1.5.4-3]", () => {
    expect(decodeText(Buffer.from("efbbbf61", "hex"), 0, 4)).toBe("\ufeffa");
  });
});

describe("reason codes", () => {
  it("have names, and a nearest return code for 3.x", () => {
    expect([0x00, 0x87, 0x8e, 0x95, 0xfe].map(reasonCodeName)).toEqual(["success", "not authorized", "session taken over", "packet too large", "reason code 0xfe"]);
    expect([0x84, 0x85, 0x86, 0x87, 0x88, 0x97].map(returnCodeFor)).toEqual([1, 2, 4, 5, 3, 3]);
    for (const code of Object.values(reasonCodes)) if (code >= 0x80) expect(returnCodeFor(code)).toBeGreaterThan(0);
    expect([0x00, 0x04, 0x8e, 0x8b].map(isClientDisconnectCode)).toEqual([true, true, false, false]);
    expect(refusalOf("HAWSER_E_CLIENT_ID")).toEqual({ reasonCode: 0x85, returnCode: 2, reason: "the Client ID is not valid" });
  });
});
