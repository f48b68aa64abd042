import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ProtoFormatError } from "../src/proto-reader.ts";
import { decodeReceiveResponse } from "../src/received-message.ts";
import { decodeAckResponse, decodeRouteResponse, decodeSendResponse } from "../src/responses.ts";
import { bytesOf, definition, resource, service, status, Timestamp } from "./stubs.ts";

describe("the decoders", () => {
  it("read a received message as the generated code wrote it", () => {
    const text = fc.string({ unit: "grapheme", maxLength: 100 });
    fc.assert(
      fc.property(
        fc.record({
          body: fc.uint8Array({ maxLength: 1000 }),
          properties: fc.uniqueArray(fc.tuple(text, text), { maxLength: 8, selector: ([key]) => key }),
          keys: fc.array(text, { maxLength: 3 }),
          tag: text,
          group: text,
          handle: text,
          bornAtMs: fc.integer({ min: 0, max: 4_102_444_800_000 }),
          attempt: fc.integer({ min: 1, max: 1000 }),
          offset: fc.integer({ min: 0, max: 2 ** 40 }),
        }),
        (wanted) => {
          const system = new definition["SystemProperties"]()
            .setMessageId("M1")
            .setTag(wanted.tag)
            .setKeysList(wanted.keys)
            .setMessageGroup(wanted.group)
            .setReceiptHandle(wanted.handle)
            .setBodyEncoding(1)
            .setBornTimestamp(Timestamp.fromDate(new Date(wanted.bornAtMs)))
            .setDeliveryAttempt(wanted.attempt)
            .setQueueId(3)
            .setQueueOffset(wanted.offset)
            .setStoreHost("somewhere");
          const message = new definition["Message"]().setTopic(resource("t")).setBody(wanted.body).setSystemProperties(system);
          for (const [key, value] of wanted.properties) message.getUserPropertiesMap().set(key, value);
          const part = decodeReceiveResponse(bytesOf(new service["ReceiveMessageResponse"]().setMessage(message)));
          if (part.kind !== "message") throw new Error(part.kind);
          const { body, properties, ...rest } = part.message;
          expect(body.equals(wanted.body)).toBe(true);
          expect(Object.entries(properties).sort()).toEqual([...wanted.properties].sort());
          expect(rest).toEqual({
            topic: "t",
            messageId: "M1",
            tag: wanted.tag,
            keys: wanted.keys,
            group: wanted.group,
            bornAtMs: wanted.bornAtMs,
            deliveryAttempt: wanted.attempt,
            queueId: 3,
            queueOffset: wanted.offset,
            receiptHandle: wanted.handle,
          });
        },
      ),
    );
  });

  it("unpack a body that its producer compressed", () => {
    const system = new definition["SystemProperties"]().setBodyEncoding(2);
    const message = new definition["Message"]().setBody(gzipSync("plain")).setSystemProperties(system);
    const part = decodeReceiveResponse(bytesOf(new service["ReceiveMessageResponse"]().setMessage(message)));
    expect(part.kind === "message" && part.message.body.toString()).toBe("plain");
  });

  it("read status and end of a receive", () => {
    expect(decodeReceiveResponse(bytesOf(new service["ReceiveMessageResponse"]().setStatus(status(40401, "no new message"))))).toEqual({
      kind: "status",
      status: { code: 40401, reason: "no new message" },
    });
    const end = new service["ReceiveMessageResponse"]().setDeliveryTimestamp(Timestamp.fromDate(new Date()));
    expect(decodeReceiveResponse(bytesOf(end))).toEqual({ kind: "end" });
  });

  it("find the failed entry of a send and of an ack", () => {
    const entry = new service["SendResultEntry"]().setStatus(status(40007, "bad key\nsee the manual")).setOffset(7);
    const sent = new service["SendMessageResponse"]().setStatus(status(20000, "OK")).setEntriesList([entry]);
    expect(decodeSendResponse(bytesOf(sent))).toEqual({ code: 40007, reason: "bad key" });
    expect(decodeSendResponse(Buffer.alloc(0)).code).toBe(0);

    const result = (handle: string, code: number): any => new service["AckMessageResultEntry"]().setReceiptHandle(handle).setStatus(status(code, "x"));
    const ack = new service["AckMessageResponse"]().setStatus(status(30000, "mixed")).setEntriesList([result("a", 20000), result("b", 40013)]);
    const answer = decodeAckResponse(bytesOf(ack));
    expect(answer.status.code).toBe(30000);
    expect([...answer.failed.keys()]).toEqual(["b"]);
  });

  it("read from a route what the topic takes and how many queues it is written to", () => {
    const queue = (permission: number, types: number[]): any =>
      new definition["MessageQueue"]().setTopic(resource("t")).setPermission(permission).setAcceptMessageTypesList(types);
    const route = new service["QueryRouteResponse"]().setStatus(status(20000, "OK")).setMessageQueuesList([queue(4, [2]), queue(3, [2]), queue(2, [2])]);
    expect(decodeRouteResponse(bytesOf(route))).toMatchObject({ acceptsNormal: false, acceptsFifo: true, writeQueues: 2 });
  });

  it("refuse bytes that are no message and never read beyond them", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        for (const decode of [decodeReceiveResponse, decodeSendResponse, decodeAckResponse, decodeRouteResponse]) {
          try {
            decode(Buffer.from(bytes));
          } catch (error) {
            if (!(error instanceof ProtoFormatError) && !/zlib|header|unexpected/i.test(`${(error as { code?: string }).code} ${(error as Error).message}`)) throw error;
          }
        }
      }),
      { numRuns: 500 },
    );
  });
});
