import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  commandError,
  encodeMessage,
  gatewayPing,
  httpStatusOf,
  isUuid,
  messageGroupOf,
  methodCatalogue,
  newUuidV7,
  parseDownlink,
  parseUplink,
  problemOf,
  replyModeOf,
  schemaHashOf,
  shareReverseSync,
  uuidBytes,
  uuidV5,
} from "@hawser/csg-protocol";

describe("ids", () => {
  it("a UUIDv7 sorts by its time and carries it", () => {
    fc.assert(
      fc.property(fc.nat(2 ** 40), fc.nat(2 ** 40), (one, two) => {
        const [first, second] = [newUuidV7(one), newUuidV7(two)];
        expect(isUuid(first)).toBe(true);
        expect(uuidBytes(first).readUIntBE(0, 6)).toBe(one);
        if (one < two) expect(first < second).toBe(true);
      }),
    );
  });

  it("UUIDv5 agrees with the published example of RFC 9562", () => {
    expect(uuidV5("www.example.com", "6ba7b810-9dad-11d1-80b4-00c04fd430c8")).toBe("2ed6657d-e927-568b-95e1-2665a8aea6a2");
  });

  it("an id in upper case, with a bad variant or of another length is no UUID", () => {
    expect(isUuid("2ED6657D-E927-568B-95E1-2665A8AEA6A2")).toBe(false);
    expect(isUuid("2ed6657d-e927-568b-75e1-2665a8aea6a2")).toBe(false);
    expect(isUuid("x")).toBe(false);
  });
});

describe("methods", () => {
  it("the four first methods have the lanes and the idempotent flag they were given", () => {
    expect([...methodCatalogue.values()].map((method) => [method.name, method.lane, method.idempotent])).toEqual([
      ["gateway.info", "query", true],
      ["gateway.ping", "query", true],
      ["share.list", "query", true],
      ["share.reverseSync", "task", false],
    ]);
  });

  it("unknown members of params are refused", () => {
    expect(gatewayPing.params.safeParse({ payload: 1 }).success).toBe(true);
    expect(gatewayPing.params.safeParse({ payload: 1, more: 2 }).success).toBe(false);
    expect(shareReverseSync.params.safeParse({ share: "../etc" }).success).toBe(false);
  });

  it("a schema's hash does not depend on the order of its members", () => {
    expect(schemaHashOf({ type: "object", a: [1, 2] })).toBe(schemaHashOf({ a: [1, 2], type: "object" }));
    expect(schemaHashOf({ type: "object", a: [2, 1] })).not.toBe(schemaHashOf({ a: [1, 2], type: "object" }));
    expect(gatewayPing.schemaHash).toMatch(/^[0-9a-f]{16}$/);
  });
});

describe("messages", () => {
  it("what is encoded is parsed again, unknown members are ignored", () => {
    const bytes = encodeMessage({ v: 1, k: "res", id: "a", att: 2, result: { n: 1 } });
    expect(parseUplink(bytes)).toEqual({ ok: true, value: { v: 1, k: "res", id: "a", att: 2, result: { n: 1 } } });
    expect(parseDownlink(Buffer.from('{"v":1,"k":"cancel","id":"a","new":1}'))).toEqual({
      ok: true,
      value: { v: 1, k: "cancel", id: "a" },
    });
  });

  it("bytes that are no envelope are a problem, never an exception", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        expect(parseUplink(bytes).ok).toBe(false);
      }),
    );
    expect(parseUplink(Buffer.from("{"))).toEqual({ ok: false, problem: "not JSON" });
    expect(parseDownlink(Buffer.from('{"v":2,"k":"cancel","id":"a"}')).ok).toBe(false);
  });
});

describe("errors and properties", () => {
  it("a problem carries HTTP status, gRPC code and reason", () => {
    expect(problemOf(commandError("GATEWAY_NOT_FOUND", "no"), "x")).toMatchObject({
      status: 404,
      code: "NOT_FOUND",
      reason: "GATEWAY_NOT_FOUND",
      instance: "urn:uuid:x",
    });
    expect(httpStatusOf.FAILED_PRECONDITION).toBe(409);
  });

  it("response_required maps to the reply mode, anything else to nothing", () => {
    expect([undefined, "true", "false", "progress", "maybe"].map((value) => replyModeOf(value))).toEqual([
      "final",
      "final",
      "none",
      "progress",
      null,
    ]);
  });

  it("a message group is hashed only when RocketMQ would refuse its length", () => {
    expect(messageGroupOf("gw-1")).toBe("gw-1");
    expect(Buffer.byteLength(messageGroupOf("x".repeat(64)))).toBeLessThan(64);
  });
});
