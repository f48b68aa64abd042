import { describe, expect, it } from "vitest";
import { newUuidV7 } from "@hawser/csg-protocol";
import type { SubmitHead } from "@hawser/wire";
import { parseSubmit } from "../src/parse-request.ts";

const defaults = { replyTopic: "csg-cmd-reply", queueTtlMs: 86_400_000, execTimeoutMs: 30_000, taskTimeoutMs: 86_400_000, maxParamsBytes: 61_440 };
const id = newUuidV7();

function head(properties: Record<string, string>): SubmitHead {
  return {
    instance: "default",
    clientId: "GID_gateway@@@gw-1",
    properties: { device_id: "gw-1", subject: "gateway.ping", correlation_id: id, ...properties },
    tag: "gateway",
    keys: [id],
    messageId: "m",
    bornAtMs: 1_000,
    traceparent: "",
  };
}

const reasonOf = (properties: Record<string, string>, body = "{}"): string => {
  const parsed = parseSubmit(head(properties), Buffer.from(body), defaults);
  return parsed.ok ? "ok" : `${parsed.error.code}/${parsed.error.reason}`;
};

describe("a command of RocketMQ", () => {
  it("is read from its properties and its body, with the defaults of its lane", () => {
    const parsed = parseSubmit(head({ dnm_a: "1", queue_ttl_ms: "0", response_required: "progress" }), Buffer.from('{"payload":{"b":1,"a":2}}'), defaults);
    expect(parsed).toMatchObject({
      ok: true,
      request: { id, method: "gateway.ping", lane: "query", reply: "progress", replyTopic: "csg-cmd-reply", echo: [["dnm_a", "1"]], queueTtlMs: 0, execMs: 30_000, bornAt: 1_000 },
    });
    const task = parseSubmit(head({ subject: "share.reverseSync", reply_topic: "mine", deadline_ms: "500" }), Buffer.from('{"share":"s"}'), defaults);
    expect(task).toMatchObject({ ok: true, request: { lane: "task", mutexKey: "share/s", replyTopic: "mine", execMs: 500, queueTtlMs: 86_400_000 } });
  });

  it("an empty body means no parameters", () => {
    expect(reasonOf({}, "")).toBe("ok");
  });

  it("two bodies that mean the same have the same hash, others do not", () => {
    const hash = (body: string): string => {
      const parsed = parseSubmit(head({}), Buffer.from(body), defaults);
      return parsed.ok ? parsed.request.bodyHash : "";
    };
    expect(hash('{"payload":{"a":1,"b":2}}')).toBe(hash('{ "payload": {"b":2, "a":1} }'));
    expect(hash('{"payload":{"a":1,"b":2}}')).not.toBe(hash('{"payload":{"a":1,"b":3}}'));
  });

  it("that makes no sense is refused with its code and reason", () => {
    expect(reasonOf({}, "{")).toBe("INVALID_ARGUMENT/PARAM_NOT_JSON");
    expect(reasonOf({}, '{"nope":1}')).toBe("INVALID_ARGUMENT/PARAM_INVALID");
    expect(reasonOf({ subject: "no.such" })).toBe("UNIMPLEMENTED/METHOD_UNKNOWN");
    expect(reasonOf({ correlation_id: "17" })).toBe("INVALID_ARGUMENT/ID_INVALID");
    expect(reasonOf({ response_required: "maybe" })).toBe("INVALID_ARGUMENT/REQUEST_INVALID");
    expect(reasonOf({ reply_topic: "no topic" })).toBe("INVALID_ARGUMENT/REQUEST_INVALID");
    expect(reasonOf({ queue_ttl_ms: "-1" })).toBe("INVALID_ARGUMENT/REQUEST_INVALID");
    expect(reasonOf({ deadline_ms: "soon" })).toBe("INVALID_ARGUMENT/REQUEST_INVALID");
    expect(reasonOf({}, JSON.stringify({ payload: "x".repeat(70_000) }))).toBe("INVALID_ARGUMENT/PARAM_TOO_LARGE");
  });

  it("a deadline that has passed is the machine's to judge, it needs a record", () => {
    expect(reasonOf({ deadline_ms: "-5" })).toBe("ok");
  });

  it("a refusal still knows whom to tell, and how", () => {
    const parsed = parseSubmit(head({ reply_topic: "mine", dnm_x: "7", response_required: "false" }), Buffer.from("{"), defaults);
    expect(parsed).toMatchObject({ ok: false, parts: { id, reply: "none", replyTopic: "mine", echo: [["dnm_x", "7"]] } });
  });
});
