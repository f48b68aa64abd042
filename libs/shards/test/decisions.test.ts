import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decideShard, KeeperCore, Liveness, placeShards, type KeeperView } from "../src/index.ts";

const members = fc.uniqueArray(fc.stringMatching(/^[a-z]{1,6}-[0-9]_[a-z0-9]{4,8}$/), { minLength: 1, maxLength: 12 });

describe("placement", () => {
  it("gives every shard to a member, none more than its share and a tenth", () => {
    fc.assert(
      fc.property(members, fc.integer({ min: 1, max: 128 }), (names, shards) => {
        const placement = placeShards(shards, names);
        expect(placement).toHaveLength(shards);
        for (const name of names) expect(placement.filter((member) => member === name).length).toBeLessThanOrEqual(Math.max(Math.ceil(shards / names.length), Math.floor((1.1 * shards) / names.length)));
        expect(placement.every((member) => names.includes(member))).toBe(true);
      }),
    );
  });

  it("does not depend on the order of the members", () => {
    fc.assert(
      fc.property(members, (names) => {
        expect(placeShards(64, names.toReversed())).toEqual(placeShards(64, names));
      }),
    );
  });

  it("moves few shards when a member leaves: its own, and few of the others", () => {
    fc.assert(
      fc.property(members.filter((names) => names.length >= 3), (names) => {
        const before = placeShards(64, names);
        const after = placeShards(64, names.slice(1));
        const moved = before.filter((member, shard) => member !== after[shard] && member !== names[0]).length;
        expect(moved).toBeLessThan(32);
      }),
    );
  });

  it("of as many shards as members gives one to each", () => {
    fc.assert(
      fc.property(members, (names) => {
        expect(placeShards(names.length, names).toSorted()).toEqual(names.toSorted());
      }),
    );
  });

  it("of nobody gives nothing", () => expect(placeShards(64, [])).toEqual([]));
});

describe("what to do about a shard", () => {
  const situation = { me: "a", record: null, held: 0, wanted: true, ownerAlive: true, settled: true };

  it.each([
    ["never owned and wanted: claimed", {}, "claim"],
    ["never owned and not wanted: left", { wanted: false }, "nothing"],
    ["free and wanted: claimed", { record: { owner: "", epoch: 3 } }, "claim"],
    ["another's, alive: left, wanted or not", { record: { owner: "b", epoch: 3 } }, "nothing"],
    ["another's, dead and wanted: claimed", { record: { owner: "b", epoch: 3 }, ownerAlive: false }, "claim"],
    ["another's, dead and not wanted: left to who wants it", { record: { owner: "b", epoch: 3 }, ownerAlive: false, wanted: false }, "nothing"],
    ["mine but dropped, wanted: claimed under a newer epoch", { record: { owner: "a", epoch: 3 } }, "claim"],
    ["mine but dropped, not wanted: freed, nobody else may", { record: { owner: "a", epoch: 3 }, wanted: false }, "free"],
    ["held and wanted: kept", { record: { owner: "a", epoch: 3 }, held: 3 }, "nothing"],
    ["held and not wanted: handed over when the membership has settled", { record: { owner: "a", epoch: 3 }, held: 3, wanted: false }, "hand-over"],
    ["held and not wanted, not settled: kept", { record: { owner: "a", epoch: 3 }, held: 3, wanted: false, settled: false }, "nothing"],
    ["held, but the record names another: lost", { record: { owner: "b", epoch: 4 }, held: 3 }, "lost"],
    ["held, but the record has another epoch: lost", { record: { owner: "a", epoch: 4 }, held: 3 }, "lost"],
    ["held, but the record is gone: lost", { held: 3 }, "lost"],
  ] as const)("%s", (_, changes, decision) => expect(decideShard({ ...situation, ...changes })).toBe(decision));
});

describe("the keeper's core", () => {
  const view: KeeperView = { healthy: true, ready: ["a"], isAlive: () => true };
  const options = { me: "a", shards: 1, selfMs: 300, settleMs: 0, freshMs: Number.POSITIVE_INFINITY };
  function serving(): KeeperCore {
    const core = new KeeperCore(options, 0);
    core.endReading(core.startReading(0), 1);
    return core;
  }

  it("claims nothing before the records have been read", () => {
    const core = new KeeperCore(options, 0);
    expect(core.step(view, 1)).toEqual([]);
    core.endReading(core.startReading(1), 2);
    expect(core.step(view, 3)).toMatchObject([{ kind: "write", record: { owner: "a", epoch: 1 }, revision: 0 }]);
  });

  it("after an unknown outcome does nothing until the record has been read, however long that takes", () => {
    const core = serving();
    core.step(view, 1);
    expect(core.written(0, { owner: "a", epoch: 1 }, { kind: "unknown" }, 10)).toEqual([{ kind: "read", shard: 0 }]);
    expect(core.step(view, 20)).toEqual([]);
    core.read(0, undefined, 100);
    expect(core.step(view, 200)).toEqual([]);
    expect(core.step(view, 400)).toEqual([{ kind: "read", shard: 0 }]);
    core.read(0, { owner: "a", epoch: 1, revision: 5 }, 410);
    expect(core.step(view, 420)).toMatchObject([{ kind: "write", record: { owner: "a", epoch: 2 }, revision: 5 }]);
  });

  it("does not serve with a reading that began before the doubt", () => {
    const core = serving();
    expect(core.mayServe(true, 10)).toBe(true);
    const early = core.startReading(20);
    core.doubt();
    core.endReading(early, 30);
    expect(core.mayServe(true, 31)).toBe(false);
    core.endReading(core.startReading(40), 50);
    expect(core.mayServe(true, 51)).toBe(true);
  });

  it("does not serve after a pause, nor with an answer that was waiting through it", () => {
    const core = serving();
    core.step(view, 100);
    const early = core.startReading(100);
    core.endReading(early, 500);
    expect(core.mayServe(true, 501)).toBe(false);
    expect(core.mayServe(true, 502)).toBe(false);
  });

  it("serves no longer than freshMs without an answer of the leader", () => {
    const core = new KeeperCore({ ...options, freshMs: 200 }, 0);
    core.endReading(core.startReading(0), 10);
    expect(core.mayServe(true, 190)).toBe(true);
    expect(core.mayServe(true, 210)).toBe(false);
  });

  it("a shard somebody else has claimed while it was being opened is not served, and closed as lost", () => {
    const core = serving();
    core.step(view, 1);
    expect(core.written(0, { owner: "a", epoch: 1 }, { kind: "ok", revision: 4 }, 5)).toEqual([{ kind: "open", shard: 0, epoch: 1 }]);
    expect(core.epochOf(0)).toBe(1);
    core.learn(0, { owner: "b", epoch: 2, revision: 6 });
    expect(core.epochOf(0)).toBe(0);
    expect(core.opened(0, true, 20)).toEqual([]);
    expect(core.step(view, 21)).toEqual([{ kind: "close", shard: 0, epoch: 1, reason: "lost" }]);
    expect(core.closed(0)).toEqual([]);
  });

  it("an answer that is overtaken by the watch does not win", () => {
    const core = serving();
    core.step(view, 1);
    core.learn(0, { owner: "b", epoch: 2, revision: 6 });
    expect(core.written(0, { owner: "a", epoch: 1 }, { kind: "ok", revision: 4 }, 5)).toEqual([]);
    expect(core.epochOf(0)).toBe(0);
  });
});

describe("liveness", () => {
  const times = { heartbeatMs: 100, selfMs: 300, deadMs: 500 };

  /** Own heartbeats every 100 ms, each back after 1 ms. */
  function hearMyself(liveness: Liveness, fromMs: number, toMs: number): void {
    for (let at = fromMs; at <= toMs; at += 100) liveness.heard("me", at, at + 1);
  }

  it("finds dead who was silent for deadMs, and not before", () => {
    const liveness = new Liveness("me", times);
    hearMyself(liveness, 0, 500);
    liveness.heard("other", 0, 10);
    expect(liveness.judge(509)).toEqual([]);
    expect(liveness.mayBeAlive("other", 509)).toBe(true);
    expect(liveness.judge(511)).toEqual(["other"]);
    expect(liveness.mayBeAlive("other", 512)).toBe(false);
  });

  it("judges nobody while it cannot hear itself, and gives everybody a fresh time afterwards", () => {
    const liveness = new Liveness("me", times);
    hearMyself(liveness, 0, 100);
    liveness.heard("other", 0, 110);
    expect(liveness.judge(5_000)).toEqual([]);
    expect(liveness.suspects(5_000)).toEqual([]);
    hearMyself(liveness, 5_000, 5_500);
    expect(liveness.judge(5_500)).toEqual([]);
    expect(liveness.judge(5_502)).toEqual(["other"]);
  });

  it("a gap shorter than selfMs counts too: nobody can be judged by what was not heard in it", () => {
    const liveness = new Liveness("me", times);
    hearMyself(liveness, 0, 300);
    liveness.heard("other", 0, 1);
    hearMyself(liveness, 560, 560);
    expect(liveness.healthy(561)).toBe(true);
    expect(liveness.judge(562)).toEqual([]);
    expect(liveness.isSuspect("other", 562)).toBe(false);
  });

  it("does not hold on to an old judgement through an outage of its own", () => {
    const liveness = new Liveness("me", times);
    hearMyself(liveness, 0, 100);
    liveness.bury("other");
    expect(liveness.mayBeAlive("other", 101)).toBe(false);
    expect(liveness.mayBeAlive("other", 1_000)).toBe(true);
    hearMyself(liveness, 2_000, 2_500);
    expect(liveness.mayBeAlive("other", 2_500)).toBe(true);
    expect(liveness.judge(2_502)).toEqual(["other"]);
  });

  it("takes its own health from when a heartbeat was sent, not from when it came back", () => {
    const liveness = new Liveness("me", times);
    liveness.heard("me", 1_000, 1_250);
    expect(liveness.healthy(1_299)).toBe(true);
    expect(liveness.healthy(1_300)).toBe(false);
  });

  it("one that was never heard has deadMs from the first question, and no second chance", () => {
    const liveness = new Liveness("me", times);
    hearMyself(liveness, 0, 600);
    expect(liveness.mayBeAlive("stranger", 100)).toBe(true);
    expect(liveness.judge(599)).toEqual([]);
    expect(liveness.judge(601)).toEqual(["stranger"]);
    expect(liveness.mayBeAlive("stranger", 606)).toBe(false);
    liveness.heard("stranger", 1, 610);
    expect(liveness.mayBeAlive("stranger", 611)).toBe(true);
  });
});
