import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  encodeAckRequest,
  encodeChangeInvisibleRequest,
  encodeConsumerSettings,
  encodeReceiveRequest,
  encodeRouteRequest,
} from "../src/requests.ts";
import { messageIds, type OutgoingMessage, SendEncoder } from "../src/send-encoder.ts";
import { service } from "./stubs.ts";

const text = fc.string({ unit: "grapheme", maxLength: 300 });
const message: fc.Arbitrary<OutgoingMessage> = fc.record({
  topic: fc.stringMatching(/^[a-zA-Z0-9_-]{1,127}$/),
  body: fc.uint8Array({ maxLength: 5000 }).map((bytes) => Buffer.from(bytes)),
  properties: fc.uniqueArray(fc.tuple(text, text), { maxLength: 12, selector: ([key]) => key }),
  tag: text,
  keys: fc.array(text, { maxLength: 4 }),
  group: fc.string({ maxLength: 60 }),
});

describe("the send encoder", () => {
  it("writes what the generated code of the client reads back, whatever the batch", () => {
    const encoder = new SendEncoder(messageIds());
    fc.assert(
      fc.property(fc.array(message, { minLength: 1, maxLength: 8 }), fc.integer({ min: 0, max: 4_102_444_800_000 }), (batch, bornAtMs) => {
        for (const each of batch) encoder.add(each, each.body, each.group === "" ? 1 : 2, each.group, bornAtMs);
        const read = service["SendMessageRequest"].deserializeBinary(encoder.take()).getMessagesList();
        expect(read.length).toBe(batch.length);
        batch.forEach((each, index) => {
          const got = read[index].toObject();
          expect(got.topic).toEqual({ resourceNamespace: "", name: each.topic });
          expect(new Map(got.userPropertiesMap)).toEqual(new Map(each.properties));
          expect(Buffer.from(read[index].getBody_asU8())).toEqual(each.body);
          const system = got.systemProperties;
          expect([system.tag, system.keysList, system.messageGroup]).toEqual([each.tag, each.keys, each.group]);
          expect(system.messageType).toBe(each.group === "" ? 1 : 2);
          expect(system.bodyEncoding).toBe(1);
          expect(system.bornTimestamp.seconds * 1000 + system.bornTimestamp.nanos / 1e6).toBe(bornAtMs);
          expect(system.messageId).toMatch(/^01[0-9A-F]{32}$/);
        });
      }),
    );
  });

  it("gives every message an id of its own", () => {
    const next = messageIds();
    expect(new Set(Array.from({ length: 1000 }, next)).size).toBe(1000);
  });

  it("writes messages larger than its first buffer", () => {
    const encoder = new SendEncoder();
    const body = Buffer.alloc(3_000_000, 7);
    const large = { topic: "t", body, properties: [["key", "v".repeat(10_000)]] as const, tag: "", keys: [], group: "" };
    encoder.add(large, body, 1, "", 0);
    const [read] = service["SendMessageRequest"].deserializeBinary(encoder.take()).getMessagesList();
    expect(Buffer.from(read.getBody_asU8()).equals(body)).toBe(true);
    expect(read.toObject().userPropertiesMap[0][1].length).toBe(10_000);
  });
});

describe("the other requests", () => {
  it("are what the generated code reads", () => {
    const route = service["QueryRouteRequest"].deserializeBinary(encodeRouteRequest("t", ["10.0.0.1:8081", "10.0.0.2:8082"])).toObject();
    expect(route.topic.name).toBe("t");
    expect(route.endpoints).toEqual({ scheme: 1, addressesList: [{ host: "10.0.0.1", port: 8081 }, { host: "10.0.0.2", port: 8082 }] });

    const filter = { kind: "sql", expression: "a > 1" } as const;
    const receive = service["ReceiveMessageRequest"]
      .deserializeBinary(encodeReceiveRequest({ group: "g", topic: "t", filter, messages: 32, invisibleMs: 30_500, longPollMs: 15_000 }))
      .toObject();
    expect(receive).toMatchObject({
      group: { name: "g" },
      messageQueue: { topic: { name: "t" }, id: -1, permission: 2 },
      filterExpression: { type: 2, expression: "a > 1" },
      batchSize: 32,
      invisibleDuration: { seconds: 30, nanos: 500_000_000 },
      longPollingTimeout: { seconds: 15, nanos: 0 },
      autoRenew: false,
    });

    const ack = service["AckMessageRequest"].deserializeBinary(encodeAckRequest("g", "t", [{ messageId: "m", receiptHandle: "h 1 2" }])).toObject();
    expect(ack.entriesList).toEqual([{ messageId: "m", receiptHandle: "h 1 2", liteTopic: "" }]);

    const change = service["ChangeInvisibleDurationRequest"]
      .deserializeBinary(encodeChangeInvisibleRequest("g", "t", { messageId: "m", receiptHandle: "h" }, 10_000))
      .toObject();
    expect(change).toMatchObject({ group: { name: "g" }, topic: { name: "t" }, receiptHandle: "h", messageId: "m", invisibleDuration: { seconds: 10, nanos: 0 } });

    const settings = service["TelemetryCommand"].deserializeBinary(encodeConsumerSettings("g", "t", filter, ["proxy:8081"])).toObject().settings;
    expect(settings).toMatchObject({ clientType: 3, accessPoint: { scheme: 3, addressesList: [{ host: "proxy", port: 8081 }] } });
    expect(settings.subscription).toMatchObject({ group: { name: "g" }, subscriptionsList: [{ topic: { name: "t" }, expression: { type: 2, expression: "a > 1" } }] });
  });
});
