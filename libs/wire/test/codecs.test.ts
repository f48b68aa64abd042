import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  decodeAnswer,
  decodeDelivery,
  decodeEnvelope,
  decodeFrame,
  decodeInboxEntry,
  decodeLogEntry,
  decodeP2pRequest,
  decodePresenceEvent,
  decodeRocketMqMessage,
  decodeSubmitAll,
  decodeTraceparent,
  decodeUplink,
  encodeAnswer,
  encodeDelivery,
  encodeEnvelope,
  encodeFrame,
  encodeInboxEntry,
  encodeLogEntry,
  encodeP2pRequest,
  encodePresenceEvent,
  encodeRocketMqMessage,
  encodeSubmitAll,
  encodeTraceparent,
  encodeUplink,
  encodeVoidEntry,
  presenceTypes,
  WireFormatError,
  type Delivery,
} from "../src/index.ts";
import { bytes, envelope, logRecords, shortText, text, u32, u48 } from "./arbitraries.ts";

const inboxEntry = fc.record({
  partition: fc.nat(255),
  logSequence: u48,
  messages: fc.array(fc.record({ instance: fc.oneof(fc.constantFrom("default", "other"), shortText), envelope: bytes(100) }), { maxLength: 20 }),
});
const p2pRequest = fc.record({ instance: shortText, storable: fc.boolean(), receiptTo: shortText, token: shortText, envelope: bytes(200) });
const delivery: fc.Arbitrary<Delivery> = fc.record({
  receivers: fc.array(
    fc.record({
      connection: u48,
      sequence: shortText,
      position: u48,
      qos: fc.constantFrom(0, 1, 2),
      redelivery: fc.boolean(),
      retain: fc.boolean(),
      identifiers: fc.array(u32, { maxLength: 5 }),
    }),
    { maxLength: 10 },
  ),
  receiptTo: shortText,
  token: shortText,
  envelope: bytes(200),
});
const presence = fc.record({
  type: fc.constantFrom(...presenceTypes),
  clientId: shortText,
  channelId: shortText,
  clientIp: shortText,
  atMs: u48,
  epoch: u32,
  counter: u48,
});
const rocketMqMessage = fc.record({
  cluster: shortText,
  topic: shortText,
  tag: shortText,
  keys: fc.array(text, { maxLength: 5 }),
  group: shortText,
  properties: fc.array(fc.tuple(text, text), { maxLength: 5 }),
  body: bytes(200),
});
const frame = fc.record({ verb: fc.nat(255), head: fc.oneof(fc.constant(null), fc.dictionary(shortText, fc.oneof(shortText, fc.integer()))), body: bytes(200) });
const uplink = fc.record({ instance: shortText, envelope: bytes(200) });
const number = fc.integer({ min: 1, max: 2 ** 48 - 1 });

/** Every format: what it holds, how it is written and read. */
const formats: [string, fc.Arbitrary<unknown>, (value: never) => Buffer, (encoded: Buffer) => unknown][] = [
  ["an envelope", envelope, encodeEnvelope, decodeEnvelope],
  ["an inbox entry", inboxEntry, encodeInboxEntry, decodeInboxEntry],
  ["a P2P request", p2pRequest, encodeP2pRequest, decodeP2pRequest],
  ["a delivery", delivery, encodeDelivery, decodeDelivery],
  ["a presence event", presence, encodePresenceEvent, decodePresenceEvent],
  ["a RocketMQ message", rocketMqMessage, encodeRocketMqMessage, decodeRocketMqMessage],
  ["a frame", frame, (value: { verb: number; head: unknown; body: Buffer }) => encodeFrame(value.verb, value.head, value.body), decodeFrame],
  ["an uplink", uplink, encodeUplink, decodeUplink],
  ["submits in order", fc.array(bytes(100), { maxLength: 10 }), encodeSubmitAll, decodeSubmitAll],
];
const decoders = [...formats.map(([, , , decode]) => decode), decodeLogEntry, decodeAnswer];

/** What reading may end with: a value, or WireFormatError. */
function readsOrRefuses(decode: (encoded: Buffer) => unknown, encoded: Buffer): boolean {
  try {
    decode(encoded);
    return true;
  } catch (error) {
    if (error instanceof WireFormatError) return false;
    throw error;
  }
}

describe.each(formats)("%s", (_, values, encode, decode) => {
  it("reads back as it was written", () => {
    fc.assert(fc.property(values, (value) => void expect(decode(encode(value as never))).toEqual(value)));
  });

  it("cut off anywhere is refused as such, or is shorter", () => {
    fc.assert(
      fc.property(values, (value) => {
        const encoded = encode(value as never);
        for (let sizeBytes = 0; sizeBytes < encoded.length; sizeBytes++) {
          if (readsOrRefuses(decode, encoded.subarray(0, sizeBytes))) expect(decode(encoded.subarray(0, sizeBytes))).not.toEqual(value);
        }
      }),
      { numRuns: 20 },
    );
  });
});

describe("a log entry", () => {
  it("reads back as it was written, and equal destination sets are one object", () => {
    fc.assert(
      fc.property(shortText, number, number, logRecords, (origin, first, second, records) => {
        const [settledBelow, entryNumber] = [Math.min(first, second), Math.max(first, second)];
        const decoded = decodeLogEntry(encodeLogEntry(origin, entryNumber, records, settledBelow));
        expect(decoded).toEqual({ kind: "records", origin, number: entryNumber, settledBelow, records });
        const sets = new Map(decoded.records.map(({ destinations }) => [JSON.stringify(destinations), destinations]));
        for (const { destinations } of decoded.records) expect(destinations).toBe(sets.get(JSON.stringify(destinations)));
      }),
    );
  });

  it("that is void reads back as void", () => {
    fc.assert(
      fc.property(shortText, number, (origin, voided) => {
        expect(decodeLogEntry(encodeVoidEntry(origin, voided))).toEqual({ kind: "void", origin, number: voided, settledBelow: 1, records: [] });
      }),
    );
  });

  it("cut off anywhere is refused", () => {
    fc.assert(
      fc.property(logRecords, (records) => {
        const encoded = encodeLogEntry("origin", 7, records, 5);
        for (let sizeBytes = 0; sizeBytes < encoded.length; sizeBytes++) expect(readsOrRefuses(decodeLogEntry, encoded.subarray(0, sizeBytes))).toBe(false);
      }),
      { numRuns: 20 },
    );
  });

  it("with a destination set that is no JSON is refused", () => {
    const encoded = encodeLogEntry("o", 1, [{ kind: 1, destinations: { instance: "i", rules: [], inbox: false, actor: null }, body: Buffer.alloc(1) }]);
    encoded[encoded.indexOf("[")] = 0x7b;
    expect(readsOrRefuses(decodeLogEntry, encoded)).toBe(false);
  });
});

describe("what is none of ours", () => {
  it("is refused by every decoder with one kind of error, or read", () => {
    fc.assert(
      fc.property(bytes(200), fc.nat(1), (garbage, version) => {
        if (garbage.length > 0) garbage[0] = version;
        for (const decode of decoders) readsOrRefuses(decode, garbage);
      }),
      { numRuns: 500 },
    );
  });

  it("of another format version is refused", () => {
    fc.assert(
      fc.property(envelope, fc.integer({ min: 2, max: 255 }), (value, version) => {
        const encoded = encodeEnvelope(value);
        encoded[0] = version;
        expect(() => decodeEnvelope(encoded)).toThrow(`format version ${version} is not known`);
      }),
    );
  });
});

describe("small forms", () => {
  it("answers keep what they say", () => {
    expect(decodeAnswer(encodeAnswer({ ok: false, code: "fenced", reason: "epoch 3" }))).toEqual({ ok: false, code: "fenced", reason: "epoch 3" });
  });

  it("a sampled traceparent keeps its text, and what is not sampled or not valid has no bytes", () => {
    const sampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    expect(decodeTraceparent(encodeTraceparent(sampled)!)).toBe(sampled);
    for (const none of [sampled.replace(/01$/, "00"), sampled.toUpperCase(), `${sampled}-x`, sampled.replace("b7ad6b7169203331", "0".repeat(16)), ""]) {
      expect(encodeTraceparent(none)).toBeNull();
    }
  });
});
