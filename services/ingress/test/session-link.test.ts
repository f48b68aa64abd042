import type { BusMessage } from "@hawser/bus";
import { createLogger } from "@hawser/telemetry";
import { decodeAnswer, decodeFrame, encodeDelivery, encodeFrame, IngressVerb, SessionVerb, type AttachList } from "@hawser/wire";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { IngressTelemetry } from "../src/ingress-telemetry.ts";
import { SessionLink, type SessionLinkParts } from "../src/session-link.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

it("an owner that may have granted what nobody waits for any more gets a list, one for all of a shard", () => {
  const asked: { readonly shard: number; readonly list: AttachList }[] = [];
  const link = new SessionLink({
    member: "ingress-0_test",
    clients: { all: () => [].values() },
    sessions: { call: (shard: number, frame: Buffer) => {
      const { verb, head } = decodeFrame(frame);
      if (verb === SessionVerb.attach) asked.push({ shard, list: head as AttachList });
    } },
  } as unknown as SessionLinkParts);
  for (const shard of [1, 2, 1]) link.listLater(shard);
  // the owner spares what it granted less than 15 s ago
  vi.advanceTimersByTime(20_000);
  expect(asked).toEqual([]);
  vi.advanceTimersByTime(20_000);
  const list = { ingress: "ingress-0_test", connections: [] };
  expect(asked).toEqual([{ shard: 1, list }, { shard: 2, list }]);
  link.listLater(1);
  link.stop();
  vi.advanceTimersByTime(60_000);
  expect(asked.length).toBe(2);
});

it("an order that cannot be read is refused: the process goes on", () => {
  let order: (message: BusMessage) => void = () => undefined;
  const link = new SessionLink({
    member: "ingress-0_test",
    bus: { subscribe: (_subject: string, handler: typeof order) => (order = handler) },
    telemetry: new IngressTelemetry(createLogger("ingress", "ingress-0_test", "silent"), () => 0),
  } as unknown as SessionLinkParts);
  link.start();
  const unreadable = encodeFrame(IngressVerb.deliver, null, encodeDelivery({ receivers: [], receiptTo: "", token: "", envelope: Buffer.from([255]) }));
  const codes: string[] = [];
  for (const data of [Buffer.from([255, 255]), unreadable]) {
    order({
      data,
      respond: (bytes: Buffer) => {
        const answer = decodeAnswer(bytes);
        codes.push(answer.ok ? "ok" : answer.code);
        return true;
      },
    } as unknown as BusMessage);
  }
  expect(codes).toEqual(["refused", "refused"]);
});
