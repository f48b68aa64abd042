import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { newUuidV7, parseDownlink, uuidBytes } from "@hawser/csg-protocol";
import { decodeEnvelope, decodeRocketMqMessage, encodeRocketMqMessage } from "@hawser/wire";
import { DeadlineHeap } from "../src/deadline-heap.ts";
import { downlinkEnvelope } from "../src/downlink-envelope.ts";
import type { Reply } from "@hawser/command-engine";
import { eventMessage, replyMessage } from "../src/reply-message.ts";

const id = newUuidV7();
const reply: Reply = {
  id,
  method: "share.list",
  kind: "final",
  n: 1,
  status: 200,
  code: "OK",
  reason: "",
  origin: "device",
  late: false,
  body: { shares: [] },
  problem: false,
  topic: "csg-cmd-reply",
  echo: [["dnm_x", "1"], ["dnm_empty", ""], ["dnm_bad", "a\nb"]],
  traceparent: "",
};

describe("a reply as a RocketMQ message", () => {
  it("has the properties of the contract and nothing RocketMQ refuses", () => {
    const message = replyMessage(reply, { gateway: "gw-1", group: "GID_gateway" }, "", 5);
    expect(Object.fromEntries(message.properties)).toEqual({
      correlation_id: id,
      device_id: "gw-1",
      group_id: "GID_gateway",
      subject: "share.list",
      status: "200",
      code: "OK",
      origin: "device",
      kind: "final",
      n: "1",
      content_type: "application/json",
      creation_time: "5",
      dnm_x: "1",
    });
    expect(message).toMatchObject({ topic: "csg-cmd-reply", tag: "share", keys: [id, "gw-1"], group: "gw-1" });
    expect(decodeRocketMqMessage(encodeRocketMqMessage(message)).body.toString()).toBe('{"shares":[]}');
  });

  it("a late one, and a failure, say so", () => {
    const message = replyMessage({ ...reply, late: true, n: 2, problem: true, reason: "IN_DOUBT" }, { gateway: "gw-1", group: "g" }, "00-a", 5);
    expect(Object.fromEntries(message.properties)).toMatchObject({ late: "true", n: "2", reason: "IN_DOUBT", content_type: "application/problem+json", traceparent: "00-a" });
  });

  it("a result of nothing is null, never an empty body", () => {
    expect(replyMessage({ ...reply, body: undefined }, { gateway: "g", group: "g" }, "", 5).body.toString()).toBe("null");
  });

  it("an id that is no UUID comes back as it was, unless RocketMQ would refuse it", () => {
    const odd = replyMessage({ ...reply, id: "mein id" }, { gateway: "g", group: "g" }, "", 5);
    expect(odd.keys).toEqual(["g"]);
    expect(Object.fromEntries(odd.properties)).toMatchObject({ correlation_id: "mein id" });
  });
});

describe("an event", () => {
  it("is a CloudEvent", () => {
    const message = eventMessage("csg-event", "csg.presence.v1", "m.1", "gw-1", { state: "online" }, 0);
    expect(JSON.parse(message.body.toString())).toMatchObject({ specversion: "1.0", type: "csg.presence.v1", subject: "gw-1", data: { state: "online" } });
    expect(message.tag).toBe("presence");
  });
});

describe("a message down", () => {
  it("is a P2P envelope whose MQTT 5 properties repeat the body", () => {
    const message = { v: 1, k: "req", id, method: "m", params: {}, reply: "final", ttl: 1_500, att: 1, lane: "query", seq: 1 } as const;
    const bytes = downlinkEnvelope(message, { origin: "csg-0_a", sequence: 7, clientId: "G@@@gw", gateway: "gw", csgUp: "up", csgDown: "down", now: 9, trace: null });
    const envelope = decodeEnvelope(bytes);
    expect(envelope).toMatchObject({ topic: "down/p2p/G@@@gw", target: "G@@@gw", qos: 1, origin: "csg-0_a", sequence: 7 });
    expect(parseDownlink(envelope.payload)).toEqual({ ok: true, value: message });
    const properties = envelope.properties!;
    expect([...properties.subarray(0, 2)]).toEqual([1, 1]);
    expect(properties.includes(uuidBytes(id))).toBe(true);
    expect(properties.includes(Buffer.from("up/gw/r"))).toBe(true);
    expect(properties.readUInt32BE(properties.indexOf(Buffer.from([2, 0, 0, 0, 2])) + 1)).toBe(2);
  });
});

describe("deadlines", () => {
  it("come up once, at their last set time, in order", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(20), fc.option(fc.nat(1_000), { nil: Number.POSITIVE_INFINITY }))), (changes) => {
        const heap = new DeadlineHeap<number>();
        const model = new Map<number, number>();
        for (const [key, at] of changes) {
          heap.set(key, at);
          if (at === Number.POSITIVE_INFINITY) model.delete(key);
          else model.set(key, at);
        }
        const expected = (from: number, to: number): number[] => [...model].filter(([, at]) => at > from && at <= to).map(([key]) => key).sort();
        expect(heap.due(500).sort()).toEqual(expected(-1, 500));
        expect(heap.due(500)).toEqual([]);
        expect(heap.due(1_000).sort()).toEqual(expected(500, 1_000));
        expect(heap.size).toBe(0);
      }),
    );
  });
});
