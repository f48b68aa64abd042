import fc from "fast-check";
import type { DestinationSet, Envelope, LogRecord } from "../src/index.ts";

export const u48 = fc.integer({ min: 0, max: 2 ** 48 - 1 });
export const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
export const bytes = (maxLength: number) => fc.uint8Array({ maxLength }).map((value) => Buffer.from(value));
/** Valid UTF-8, at most 255 bytes. */
export const shortText = fc.string({ unit: "binary", maxLength: 60 });
export const text = fc.string({ unit: "binary", maxLength: 300 });

export const envelope: fc.Arbitrary<Envelope> = fc.record({
  origin: shortText,
  sequence: u48,
  publishedAtMs: u48,
  qos: fc.constantFrom(0, 1, 2),
  retain: fc.boolean(),
  sender: shortText,
  persistent: fc.boolean(),
  topic: text,
  target: fc.option(shortText),
  trace: fc.option(fc.uint8Array({ minLength: 25, maxLength: 25 }).map((value) => Buffer.from(value))),
  properties: fc.option(bytes(100)),
  payload: bytes(300),
});

export const destinationSet: fc.Arbitrary<DestinationSet> = fc.record({
  instance: shortText,
  rules: fc.array(shortText, { maxLength: 4 }),
  inbox: fc.boolean(),
  actor: fc.option(shortText),
});

export const logRecords: fc.Arbitrary<LogRecord[]> = fc
  .tuple(fc.array(destinationSet, { minLength: 1, maxLength: 5 }), fc.array(fc.tuple(fc.constantFrom(1, 2, 3), fc.nat(4), bytes(100)), { maxLength: 20 }))
  .map(([sets, records]) => records.map(([kind, set, body]) => ({ kind, destinations: sets[set % sets.length]!, body }) as LogRecord));
