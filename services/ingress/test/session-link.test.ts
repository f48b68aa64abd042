import { decodeFrame, SessionVerb, type AttachList } from "@hawser/wire";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
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
