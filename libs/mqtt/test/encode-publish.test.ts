import fc from "fast-check";
import mqttPacket, { type IPublishPacket } from "mqtt-packet";
import { describe, expect, it } from "vitest";
import { encodeMessageProperties, OutgoingPublish, SHARED_PAYLOAD_BYTES } from "../src/index.ts";
import type { ProtocolLevel, Qos } from "../src/types.ts";

function decode(bytes: Buffer, level: number): IPublishPacket & { messageId?: number } {
  let packet: IPublishPacket | null = null;
  const parser = mqttPacket.parser({ protocolVersion: level });
  parser.on("packet", (one) => (packet = one as IPublishPacket));
  parser.parse(bytes);
  return packet!;
}

function joined(bytes: Buffer | readonly Buffer[]): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.concat(bytes);
}

const level = fc.constantFrom<ProtocolLevel>(3, 4, 5);
const qosOf = fc.constantFrom<Qos>(0, 1, 2);

describe("an outgoing PUBLISH", () => {
  it("reads back through mqtt-packet for every version, QoS and flag, with one shared encoding", () => {
    fc.assert(
      fc.property(
        fc.string({ minLength: 1, maxLength: 40, unit: "binary" }).filter((topic) => topic.isWellFormed() && !topic.includes("\0")),
        fc.oneof(fc.uint8Array({ maxLength: 300 }), fc.uint8Array({ minLength: 2040, maxLength: 2060 }), fc.uint8Array({ minLength: 16_380, maxLength: 16_390 })),
        fc.option(fc.record({ contentType: fc.string(), userProperties: fc.array(fc.tuple(fc.string({ minLength: 1 }), fc.string()), { maxLength: 4 }) }), { nil: null }),
        fc.array(fc.record({ level, qos: qosOf, id: fc.integer({ min: 1, max: 65_535 }), dup: fc.boolean(), retain: fc.boolean(), identifiers: fc.array(fc.integer({ min: 1, max: 268_435_455 }), { maxLength: 3 }) }), { minLength: 1, maxLength: 12 }),
        (topic, payload, properties, uses) => {
          const block = encodeMessageProperties(properties);
          const publish = new OutgoingPublish({ topic, payload: Buffer.from(payload), properties: block });
          for (const use of uses) {
            const bytes = joined(publish.bytesFor(use.level, use.qos, use.id, use.dup, use.retain, use.identifiers));
            expect(bytes.length).toBe(publish.sizeFor(use.level, use.qos, use.identifiers));
            const packet = decode(bytes, use.level);
            expect(packet.topic).toBe(topic);
            expect(Buffer.from(payload).equals(packet.payload as Buffer)).toBe(true);
            expect([packet.qos, packet.retain, packet.dup, packet.messageId]).toEqual([use.qos, use.retain, use.qos > 0 && use.dup, use.qos > 0 ? use.id : undefined]);
            if (use.level === 5) {
              expect([packet.properties?.subscriptionIdentifier ?? []].flat()).toEqual(use.identifiers);
              expect(packet.properties?.contentType).toBe(properties?.contentType);
            }
          }
        },
      ),
      { numRuns: 150 },
    );
  });

  it("hands the same bytes to all QoS 0 receivers of a shape, and the same payload to QoS 1", () => {
    const payload = Buffer.alloc(SHARED_PAYLOAD_BYTES + 1, 7);
    const publish = new OutgoingPublish({ topic: "t", payload, properties: null });
    expect(publish.bytesFor(4, 0, 0, false, false)).toBe(publish.bytesFor(3, 0, 0, false, false));
    expect(publish.bytesFor(5, 0, 0, false, false)).not.toBe(publish.bytesFor(4, 0, 0, false, false));
    expect(publish.bytesFor(5, 0, 0, false, false, [1])).toBe(publish.bytesFor(5, 0, 0, false, false, [1]));
    const [, first] = publish.bytesFor(4, 1, 1, false, false) as [Buffer, Buffer];
    const [, second] = publish.bytesFor(5, 2, 9, false, false) as [Buffer, Buffer];
    expect(first).toBe(payload);
    expect(second).toBe(payload);
  });

  it("does not write a later packet id into an earlier packet", () => {
    const publish = new OutgoingPublish({ topic: "t", payload: Buffer.from("x"), properties: null });
    const first = publish.bytesFor(4, 1, 1, false, false) as Buffer;
    publish.bytesFor(4, 1, 2, true, false);
    expect(first.toString("hex")).toBe("3206" + "000174" + "0001" + "78");
  });

  it("counts a message expiry interval down, and has expired when nothing is left", () => {
    const properties = encodeMessageProperties({ contentType: "c", expirySeconds: 10 });
    const publish = new OutgoingPublish({ topic: "t", payload: Buffer.alloc(0), properties, receivedAtMs: 1000 });
    expect(publish.expires).toBe(true);
    const expiryAt = (nowMs: number): unknown => (publish.countDown(nowMs) ? decode(publish.bytesFor(5, 0, 0, false, false) as Buffer, 5).properties!.messageExpiryInterval : "expired");
    expect([1000, 1999, 2000, 10_999, 11_000].map(expiryAt)).toEqual([10, 10, 9, 1, "expired"]);
    expect(properties!.readUInt32BE(1)).toBe(10);
    const unclocked = new OutgoingPublish({ topic: "t", payload: Buffer.alloc(0), properties });
    expect([unclocked.expires, unclocked.countDown(1e15)]).toEqual([false, true]);
  });
});
