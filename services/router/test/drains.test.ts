import { ActorVerb, buckets, ByteReader, decodeEnvelope, decodePresenceEvent, decodeUplink, type DestinationSet, encodePresenceEvent, RecordKind, shardOf, streams } from "@hawser/wire";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Platform, PARTITIONS, type RunningRouter, SHARDS } from "./platform.ts";

let platform: Platform;
/** Those that run. */
const routers = new Set<RunningRouter>();
const wait = { timeout: 25_000, interval: 20 };
let topic: string;

const to = (more: Partial<DestinationSet>): DestinationSet => ({ instance: "default", rules: [], inbox: false, actor: null, ...more });
const INBOX = to({ inbox: true });
const ACTOR = to({ actor: "csg" });

beforeAll(async () => {
  platform = await Platform.start();
  topic = `drain-${platform.run}`;
  await platform.admin.topic(topic);
  await platform.publish({ groups: ["GID"], parents: ["demo"], rules: [{ id: "demo-out", kind: "outbound", parent: "demo", topic }] });
  routers.add(await platform.startRouter());
});

afterAll(() => platform.stop());

function filters(shard: number, ...list: string[]): Promise<unknown> {
  const bucket = platform.bus.kv(buckets.filters);
  const value = Buffer.from(JSON.stringify({ version: 1, filters: list.map((filter) => ["default", filter]) }));
  return bucket.get(String(shard)).then((stored) => (stored ? bucket.update(String(shard), value, stored.revision) : bucket.create(String(shard), value)));
}

describe("the log to the inboxes", () => {
  it("appends one entry per log entry and shard with the messages some filter of the shard wants", async () => {
    const [one, three] = [await platform.inbox(1), await platform.inbox(3)];
    await filters(1, "demo/+/x", "other/#");
    await filters(3, "demo/a/#");
    await expect.poll(() => platform.board.members("router")[0]?.versions["filters"], wait).toBe(2);
    // of one tick: one log entry
    const place = await Promise.all(
      ["demo/a/x", "demo/b/x", "demo/a/y", "demo/c"].map((name) => platform.append({ kind: RecordKind.publish, destinations: INBOX, body: platform.envelope({ topic: name }) })),
    );
    expect(new Set(place.map(({ sequence }) => sequence)).size).toBe(1);
    await expect.poll(() => [one.length, three.length], wait).toEqual([1, 1]);
    const topics = (entry: (typeof one)[number]): string[] => entry.messages.map(({ envelope }) => decodeEnvelope(envelope).topic);
    expect(topics(one[0]!)).toEqual(["demo/a/x", "demo/b/x"]);
    expect(topics(three[0]!)).toEqual(["demo/a/x", "demo/a/y"]);
    expect(one[0]).toMatchObject({ partition: place[0]!.partition, logSequence: place[0]!.sequence });
  });

  it("follows a change of the filters and reports its revision", async () => {
    const three = await platform.inbox(3);
    const before = three.length;
    await filters(3);
    await expect.poll(() => platform.board.members("router")[0]?.versions["filters"], wait).toBe(3);
    const one = await platform.inbox(1);
    await platform.append({ kind: RecordKind.publish, destinations: INBOX, body: platform.envelope({ topic: "demo/a/x", payload: Buffer.from("again") }) });
    await expect.poll(() => one.flatMap(({ messages }) => messages.map(({ envelope }) => decodeEnvelope(envelope).payload.toString())), wait).toContain("again");
    expect(three.length).toBeLessThanOrEqual(Math.max(before, 1));
  });
});

describe("the log to actors", () => {
  it("waits for the owner, keeps the order of a client, and says how far it is", async () => {
    const places: { partition: number; sequence: number }[] = [];
    for (let n = 0; n < 5; n++) {
      places.push(await platform.append({ kind: RecordKind.publish, destinations: ACTOR, body: platform.envelope({ sender: "GID@@@gw", payload: Buffer.from(String(n)) }) }, "GID@@@gw"));
    }
    const event = { type: "tcpclean", clientId: "GID@@@gw", channelId: "c", clientIp: "1.2.3.4:5", atMs: 1, epoch: 1, counter: 2 } as const;
    places.push(await platform.append({ kind: RecordKind.presence, destinations: ACTOR, body: encodePresenceEvent(event) }, "GID@@@gw"));
    const { partition, sequence } = places.at(-1)!;
    const drained = (): number => Math.max(0, ...platform.board.members("router").map(({ versions }) => versions[`actor.${partition}`] ?? 0));
    expect(drained()).toBeLessThan(sequence);
    const csg = await platform.playOwner("csg");
    let asked = 0;
    csg.answer = () => (asked++ === 1 ? { ok: false, code: "busy", reason: "full" } : { ok: true });
    await expect.poll(() => csg.frames.length, wait).toBe(7);
    expect(csg.frames.every(({ shard }) => shard === shardOf("default", "GID@@@gw", SHARDS))).toBe(true);
    const said = csg.frames.map(({ frame }) => (frame.verb === ActorVerb.uplink ? decodeEnvelope(decodeUplink(frame.body).envelope).payload.toString() : "event"));
    expect(said).toEqual(["0", "1", "1", "2", "3", "4", "event"]);
    const reader = new ByteReader(csg.frames.at(-1)!.frame.body);
    expect(reader.shortText()).toBe("default");
    expect(decodePresenceEvent(reader.rest())).toEqual(event);
    await expect.poll(drained, wait).toBeGreaterThanOrEqual(sequence);
  });
});

/** Adds a router and takes away the one that owns most. */
async function replaceRouter(how: "kill" | "stop", whenSettled: (takeAway: () => Promise<void>) => Promise<void>): Promise<void> {
  const added = await platform.startRouter();
  routers.add(added);
  const owned = (): number => [...routers].reduce((sum, { router }) => sum + router.owned.length, 0);
  await expect.poll(() => added.router.notReady(), wait).toBe(null);
  await expect.poll(owned, wait).toBe(PARTITIONS);
  const [most] = [...routers].sort((a, b) => b.router.owned.length - a.router.owned.length);
  await whenSettled(async () => {
    routers.delete(most!);
    await most![how]();
    await expect.poll(owned, wait).toBe(PARTITIONS);
  });
}

describe("partitions", () => {
  it("are trimmed when every destination is done", async () => {
    await expect.poll(async () => {
      const infos = await Promise.all(Array.from({ length: PARTITIONS }, (_, partition) => platform.bus.jsm.streams.info(streams.log(partition))));
      return infos.reduce((sum, { state }) => sum + state.messages, 0);
    }, wait).toBe(0);
  });

  it("of a router that dies are drained by another: nothing that was stored is missing", async () => {
    const received = await platform.consume(topic);
    let sent = 0;
    await replaceRouter("kill", async (takeAway) => {
      const appended: Promise<unknown>[] = [];
      const feed = setInterval(() => {
        for (let n = 0; n < 5; n++) {
          const sender = `GID@@@${sent % 16}`;
          const body = platform.envelope({ sender, payload: Buffer.from(String(sent++)) });
          appended.push(platform.append({ kind: RecordKind.publish, destinations: to({ rules: ["demo-out"] }), body }, sender));
        }
      }, 10);
      await expect.poll(() => received.length, wait).toBeGreaterThan(100);
      await takeAway();
      clearInterval(feed);
      await Promise.all(appended);
    });
    await expect.poll(() => new Set(received.map(({ body }) => body.toString())).size, wait).toBe(sent);
  });

  it("of a router that leaves go on without a message twice", async () => {
    const received = await platform.consume(topic);
    const before = received.length;
    const count = 200;
    await replaceRouter("stop", async (takeAway) => {
      const appended: Promise<unknown>[] = [];
      for (let n = 0; n < count; n++) {
        const sender = `GID@@@${n % 16}`;
        const body = platform.envelope({ sender, payload: Buffer.from(`leave ${n}`) });
        appended.push(platform.append({ kind: RecordKind.publish, destinations: to({ rules: ["demo-out"] }), body }, sender));
        if (n % 20 === 0) await appended.at(-1);
        if (n === count / 2) appended.push(takeAway());
      }
      await Promise.all(appended);
    });
    await expect.poll(() => received.length - before, wait).toBeGreaterThanOrEqual(count);
    expect(new Set(received.slice(before).map(({ body }) => body.toString())).size).toBe(count);
    expect(received.length - before).toBe(count);
  });
});
