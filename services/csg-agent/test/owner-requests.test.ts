/** What of a row of submits reaches the actors, and what is answered, when one of them has no room. */
import { describe, expect, it } from "vitest";
import { newUuidV7 } from "@hawser/csg-protocol";
import { createLogger } from "@hawser/telemetry";
import { ActorVerb, type Answer, decodeAnswer, encodeFrame, encodeSubmitAll } from "@hawser/wire";
import { OwnerRequests, type RequestsOptions } from "../src/owner-requests.ts";

const SHARD = 1;
const OK = { ok: true } as const;
const BUSY = { ok: false, code: "busy", reason: "mailbox full" } as const;
const REFUSED = { ok: false, code: "refused", reason: "no" } as const;

/** @returns the numbers of the submits that were told to the actor, and a function that gives them their answers */
function row(count: number, roomFor: (at: number) => boolean): { told: number[]; settle: (at: number, answer: Answer) => void; answers: unknown[] } {
  const told: number[] = [];
  const waiting: ((answer: Answer) => void)[] = [];
  const answers: unknown[] = [];
  const actors = {
    keyOf: (instance: string, clientId: string) => ({ instance, clientId, shard: SHARD, token: "t" }),
    ask: (_key: object, _build: unknown, done: (answer: Answer) => void) => {
      const at = waiting.push(done) - 1;
      told.push(at);
      if (!roomFor(at)) done(BUSY);
    },
  };
  const options = { actors, defaults: { queueTtlMs: 1000, replyTopic: "r" }, epochOf: () => 1, mayServe: () => true, log: createLogger("csg", "m", "silent"), now: Date.now };
  const frames = Array.from({ length: count }, () => {
    const properties = { device_id: "gw", correlation_id: newUuidV7(), subject: "gateway.ping" };
    const head = { instance: "default", clientId: "GID_gateway@@@gw", properties, tag: "", keys: [], messageId: "m", bornAtMs: Date.now(), traceparent: "" };
    return encodeFrame(ActorVerb.submit, head, Buffer.from("{}"));
  });
  const message = {
    subject: "",
    reply: "r",
    data: encodeFrame(ActorVerb.submitAll, null, encodeSubmitAll(frames)),
    respond: (bytes: Uint8Array) => {
      answers.push(decodeAnswer(bytes));
      return true;
    },
  };
  new OwnerRequests(options as unknown as RequestsOptions).handle(SHARD, 1, message);
  return { told, settle: (at, answer) => waiting[at]!(answer), answers };
}

describe("a row of submits", () => {
  it("is answered once, when all of it is safe, with an answer for each", () => {
    const { told, settle, answers } = row(3, () => true);
    expect(told).toEqual([0, 1, 2]);
    settle(2, OK);
    settle(0, OK);
    expect(answers).toEqual([]);
    settle(1, REFUSED);
    expect(answers).toEqual([{ ok: true, answers: [OK, REFUSED, OK] }]);
  });

  it("ends with the first that has no room: what is behind it must not be taken before it", () => {
    const { told, settle, answers } = row(5, (at) => at !== 2);
    expect(told).toEqual([0, 1, 2]);
    settle(0, OK);
    settle(1, OK);
    expect(answers).toEqual([{ ok: true, answers: [OK, OK, BUSY] }]);
  });

  it("of which none was taken is answered like one submit", () => {
    expect(row(3, () => false)).toMatchObject({ told: [0], answers: [BUSY] });
  });
});
