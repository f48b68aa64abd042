import { describe, expect, it } from "vitest";
import { isUuid } from "@hawser/csg-protocol";
import { commandMessage, parseCommandLine, replyLine } from "../src/command-line.ts";

describe("a command line", () => {
  it("becomes a message with its properties, keys, tag and message group", () => {
    const line = parseCommandLine('{"gateway":"gw-1","method":"share.list","reply":"progress","queueTtlMs":0,"properties":{"dnm_x":"1"}}');
    const message = commandMessage(line, "csg-cmd", "csg-cmd-reply", "");
    expect(isUuid(message.id)).toBe(true);
    expect(message).toMatchObject({ topic: "csg-cmd", tag: "share", messageGroup: "gw-1", keys: [message.id, "gw-1"] });
    expect(Object.fromEntries(message.properties)).toEqual({
      device_id: "gw-1",
      subject: "share.list",
      correlation_id: message.id,
      response_required: "progress",
      content_type: "application/json",
      reply_topic: "csg-cmd-reply",
      queue_ttl_ms: "0",
      principal: "control-plane",
      dnm_x: "1",
    });
    expect(message.body.toString()).toBe("{}");
  });

  it("with a member it does not know is refused", () => {
    expect(() => parseCommandLine('{"gateway":"g","method":"m","replay":1}')).toThrow();
    expect(() => parseCommandLine("{")).toThrow();
  });
});

describe("a reply", () => {
  it("becomes a line, its body parsed when it is JSON", () => {
    const properties = new Map([["correlation_id", "i"], ["status", "404"], ["code", "NOT_FOUND"], ["reason", "GATEWAY_NOT_FOUND"], ["kind", "final"], ["n", "1"], ["origin", "platform"]]);
    expect(replyLine(properties, Buffer.from('{"a":1}'), 5)).toMatchObject({ id: "i", status: 404, reason: "GATEWAY_NOT_FOUND", late: false, body: { a: 1 }, at: 5 });
    expect(replyLine(properties, Buffer.from("no"), 5).body).toBe("no");
  });
});
