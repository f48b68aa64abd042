import type { ConnectRequest, StoredSubscription } from "@hawser/wire";
import { describe, expect, it } from "vitest";
import { reduceSession, type SessionEffect, type SessionMessage, type SessionSettings } from "../src/reduce-session.ts";
import { decodeSessionRecord } from "../src/session-record.ts";
import { emptyState, isIdle, parseSequence, type SessionState } from "../src/session-state.ts";

const settings: SessionSettings = { closeTimeoutMs: 6000, takeoverLimit: 3, takeoverWindowMs: 10_000, takeoverDelayMs: 1000, listGraceMs: 15_000 };
const subscription = (filter: string): StoredSubscription => ({ filter, qos: 1, noLocal: true, retainAsPublished: false, identifier: 5 });

class Client {
  state: SessionState;
  nowMs = 1_000_000;
  epoch = 1;
  counter = 0;
  record: Buffer | null = null;

  constructor(state = emptyState("default", "GID@@@a")) {
    this.state = state;
  }

  tell(message: SessionMessage): readonly SessionEffect[] {
    const turn = reduceSession(this.state, message, this.nowMs, settings);
    for (const write of turn.writes) this.record = write.value;
    return turn.effects;
  }

  connect(connection: number, over: Partial<ConnectRequest> = {}): readonly SessionEffect[] {
    const request: ConnectRequest = {
      instance: "default",
      clientId: "GID@@@a",
      ingress: "ingress-0_x",
      connection,
      level: 4,
      cleanStart: true,
      sessionExpirySeconds: 0,
      clientIp: "127.0.0.1:5000",
      channelId: `channel-${connection}`,
      ...over,
    };
    return this.tell({ kind: "connect", request, order: { epoch: this.epoch, counter: ++this.counter }, reply: `connect-${connection}` });
  }

  closed(sequence: string, over: { goodbye?: boolean; sessionExpirySeconds?: number; channelId?: string } = {}): readonly SessionEffect[] {
    const { goodbye = false, ...rest } = over;
    return this.tell({ kind: "closed", notice: { instance: "default", clientId: "GID@@@a", sequence, goodbye, ...rest }, ownEpoch: this.epoch, reply: "closed" });
  }

  attach(sequence: string, over: { ingress?: string; connection?: number; sessionExpirySeconds?: number; buried?: boolean } = {}): readonly SessionEffect[] {
    const { ingress = "ingress-0_x", connection = 1, sessionExpirySeconds = 0, buried = false } = over;
    const listed = { instance: "default", clientId: "GID@@@a", connection, level: 4, sessionExpirySeconds, clientIp: "", channelId: `channel-${connection}`, sequence };
    return this.tell({ kind: "attach", ingress, listed, ownEpoch: this.epoch, buried, reply: "attach" });
  }

  /** Another owner goes on with what is stored. */
  moved(): Client {
    const next = new Client(this.record ? decodeSessionRecord("default", "GID@@@a", this.record) : undefined);
    next.nowMs = this.nowMs;
    next.epoch = this.epoch + 1;
    next.record = this.record;
    return next;
  }
}

const kinds = (effects: readonly SessionEffect[]): string[] => effects.map((effect) => (effect.kind === "presence" ? effect.type : effect.kind));
const grantOf = (effects: readonly SessionEffect[]) => effects.find((effect) => effect.kind === "grant")?.grant;
const persistent = { cleanStart: false, sessionExpirySeconds: 100 };

describe("takeover", () => {
  it("a second CONNECT orders the first connection closed and waits for its end", () => {
    const client = new Client();
    expect(kinds(client.connect(1))).toEqual(["connect", "grant", "online"]);
    expect(kinds(client.connect(2))).toEqual(["order-close"]);
    const effects = client.tell({ kind: "gone", sequence: "1.1" });
    expect(kinds(effects)).toEqual(["tcpclean", "offline", "connect", "grant", "online"]);
    expect(grantOf(effects)).toEqual({ sequence: "1.2", sessionPresent: false, subscriptions: [] });
  });

  it("of two that wait the last wins, the other is refused", () => {
    const client = new Client();
    client.connect(1);
    client.connect(2);
    const effects = client.connect(3);
    expect(effects).toMatchObject([{ kind: "answer", reply: "connect-2", answer: { ok: false, code: "refused" } }]);
    expect(grantOf(client.closed("1.1", { goodbye: true }))?.sequence).toBe("1.3");
  });

  it("the same CONNECT asked again is not a takeover", () => {
    const client = new Client();
    client.connect(1);
    client.connect(2);
    expect(client.connect(2)).toEqual([]);
    expect(client.tell({ kind: "gone", sequence: "1.1" })).toContainEqual(expect.objectContaining({ kind: "grant", reply: "connect-2" }));
  });

  it("a CONNECT asked again after its grant, whose answer was lost, is granted as before", () => {
    const client = new Client();
    expect(grantOf(client.connect(1, persistent))?.sessionPresent).toBe(false);
    const again = client.connect(1, persistent);
    expect(again).toMatchObject([{ kind: "grant", reply: "connect-1", grant: { sequence: "1.1", sessionPresent: false } }, { kind: "online" }]);
    client.closed("1.1");
    expect(grantOf(client.connect(2, persistent))?.sessionPresent).toBe(true);
    expect(grantOf(client.connect(2, persistent))).toMatchObject({ sequence: "1.3", sessionPresent: true });
    // the newer CONNECT stays the last one, however often the older is asked again
    expect(kinds(client.connect(3, persistent))).toEqual(["order-close"]);
    expect(client.connect(2, persistent)).toMatchObject([{ kind: "answer", reply: "connect-2", answer: { ok: false, code: "refused" } }]);
    expect(grantOf(client.tell({ kind: "gone", sequence: "1.3" }))?.sequence).toBe("1.5");
  });

  it("an ingress that does not answer holds the new one up only so long", () => {
    const client = new Client();
    client.connect(1);
    client.connect(2);
    client.nowMs += settings.closeTimeoutMs - 1;
    expect(client.tell({ kind: "tick" })).toEqual([]);
    client.nowMs += 1;
    expect(grantOf(client.tell({ kind: "tick" }))?.sequence).toBe("1.2");
  });

  it("a dead ingress takes its connection and its waiting CONNECT with it", () => {
    const client = new Client();
    client.connect(1);
    client.connect(2, { ingress: "ingress-1_x" });
    client.tell({ kind: "ingress-dead", ingress: "ingress-1_x" });
    expect(kinds(client.tell({ kind: "ingress-dead", ingress: "ingress-0_x" }))).toEqual(["tcpclean", "offline"]);
    expect(isIdle(client.state)).toBe(true);
  });

  it("an id that is taken over again and again is slowed", () => {
    const client = new Client();
    client.connect(1);
    for (let next = 2; next <= 4; next++) {
      client.connect(next);
      expect(grantOf(client.tell({ kind: "gone", sequence: `1.${next - 1}` }))).toBeDefined();
    }
    client.connect(5);
    expect(grantOf(client.tell({ kind: "gone", sequence: "1.4" }))).toBeUndefined();
    client.nowMs += settings.takeoverDelayMs;
    expect(grantOf(client.tell({ kind: "tick" }))?.sequence).toBe("1.5");
  });

  it("what names an older connection is ignored", () => {
    const client = new Client();
    client.connect(1, persistent);
    client.connect(2, persistent);
    client.tell({ kind: "gone", sequence: "1.1" });
    expect(client.closed("1.1", { goodbye: true, channelId: "channel-1" })).toEqual([{ kind: "answer", reply: "closed", answer: { ok: true } }]);
    const stale = client.tell({ kind: "subscribe", request: { instance: "default", clientId: "GID@@@a", sequence: "1.1", subscriptions: [subscription("x")] }, reply: "s" });
    expect(stale).toMatchObject([{ kind: "answer", answer: { ok: false, code: "stale" } }]);
  });

  it("a drop is answered when the connection is over", () => {
    const client = new Client();
    expect(client.tell({ kind: "drop", reply: "d0" })).toMatchObject([{ kind: "answer", reply: "d0", answer: { ok: true } }]);
    client.connect(1);
    expect(client.tell({ kind: "drop", reply: "d1" })).toMatchObject([{ kind: "order-close", reason: "kicked" }]);
    expect(client.closed("1.1")).toContainEqual({ kind: "answer", reply: "d1", answer: { ok: true } });
  });
});

describe("session", () => {
  it("a clean session writes nothing, ever", () => {
    const client = new Client();
    client.connect(1);
    client.tell({ kind: "subscribe", request: { instance: "default", clientId: "GID@@@a", sequence: "1.1", subscriptions: [subscription("x")] }, reply: "s" });
    client.closed("1.1", { goodbye: true });
    expect(client.record).toBeNull();
    expect(isIdle(client.state)).toBe(true);
  });

  it("session present says exactly whether something was resumed", () => {
    const client = new Client();
    const round = (connection: number, over: Partial<ConnectRequest>): boolean => {
      const granted = grantOf(client.connect(connection, over))!;
      client.closed(granted.sequence);
      return granted.sessionPresent;
    };
    expect(round(1, persistent)).toBe(false);
    expect(round(2, persistent)).toBe(true);
    expect(round(3, { ...persistent, cleanStart: true })).toBe(false);
    expect(round(4, { cleanStart: false, sessionExpirySeconds: 0 })).toBe(true);
    expect(client.record).toBeNull();
    expect(round(5, persistent)).toBe(false);
    client.nowMs += 100_000;
    expect(round(6, { ...persistent, sessionExpirySeconds: 0xffff_ffff })).toBe(false);
    client.nowMs += 1e12;
    expect(round(7, persistent)).toBe(true);
  });

  it("subscriptions are resumed with all their options, after a move too", () => {
    const client = new Client();
    client.connect(1, persistent);
    const request = { instance: "default", clientId: "GID@@@a", sequence: "1.1" };
    client.tell({ kind: "subscribe", request: { ...request, subscriptions: [subscription("x/#"), subscription("y")] }, reply: "s" });
    client.tell({ kind: "unsubscribe", request: { ...request, filters: ["y"] }, reply: "u" });
    client.closed("1.1");
    const next = client.moved();
    expect(grantOf(next.connect(2, persistent))).toEqual({ sequence: "2.1", sessionPresent: true, subscriptions: [subscription("x/#")] });
  });

  it("a session ends by time, and DISCONNECT may end it at once but not prolong a clean one", () => {
    const client = new Client();
    client.connect(1, persistent);
    client.closed("1.1");
    client.nowMs += 99_999;
    expect(client.tell({ kind: "tick" })).toEqual([]);
    client.nowMs += 1;
    expect(kinds(client.tell({ kind: "tick" }))).toEqual(["ended"]);
    expect(client.record).toBeNull();
    client.connect(2, persistent);
    expect(kinds(client.closed("1.2", { goodbye: true, sessionExpirySeconds: 0 }))).toContain("ended");
    client.connect(3);
    client.closed("1.3", { goodbye: true, sessionExpirySeconds: 50 });
    expect(client.record).toBeNull();
    expect(isIdle(client.state)).toBe(true);
  });
});

describe("a moved shard", () => {
  it("takes a listed connection over as it is, and nobody hears of it", () => {
    const client = new Client();
    client.connect(1);
    const next = client.moved();
    expect(kinds(next.attach("1.1"))).toEqual(["attached", "online"]);
    expect(next.state.connection?.sequence).toBe("1.1");
  });

  it("of two listed connections the newer wins, in either order", () => {
    const first = new Client().moved();
    first.attach("1.7");
    expect(first.attach("1.3", { ingress: "ingress-1_x", connection: 9 })).toMatchObject([{ kind: "attached", connection: 9, refused: "taken over" }]);
    const second = new Client().moved();
    second.attach("1.3", { ingress: "ingress-1_x", connection: 9 });
    expect(second.attach("1.7")).toMatchObject([
      { kind: "presence", type: "tcpclean", channelId: "channel-9" },
      { kind: "offline" },
      { kind: "order-close", connection: { connection: 9 } },
      { kind: "attached", refused: null },
      { kind: "online" },
    ]);
  });

  it("a stored connection nobody lists is gone, one that is listed is not", () => {
    const client = new Client();
    client.connect(1, persistent);
    const lost = client.moved();
    expect(kinds(lost.tell({ kind: "all-listed" }))).toEqual(["tcpclean", "offline"]);
    expect(lost.state.session?.offlineSinceMs).toBe(lost.nowMs);
    const kept = client.moved();
    kept.attach("1.1", { sessionExpirySeconds: 100 });
    expect(kept.tell({ kind: "all-listed" })).toEqual([]);
  });

  it("refuses what it cannot vouch for", () => {
    const client = new Client();
    client.connect(1);
    client.closed("1.1");
    expect(client.attach("1.1")).toMatchObject([{ kind: "attached", refused: "no such connection" }]);
    const next = client.moved();
    expect(next.attach("1.1", { buried: true })).toMatchObject([{ refused: "its ingress was dead" }]);
    expect(next.attach("1.1", { sessionExpirySeconds: 100 })).toMatchObject([{ refused: "session lost" }]);
    expect(next.attach("nonsense")).toMatchObject([{ refused: "no such connection" }]);
  });

  it("the end of a connection nobody listed is told once", () => {
    const client = new Client();
    client.connect(1);
    const next = client.moved();
    expect(kinds(next.closed("1.1", { goodbye: true, channelId: "channel-1" }))).toEqual(["disconnect", "tcpclean", "answer"]);
    expect(kinds(next.closed("1.1", { goodbye: true, channelId: "channel-1" }))).toEqual(["answer"]);
  });
});

it("sequences are read strictly", () => {
  expect(parseSequence("3.14")).toEqual({ epoch: 3, counter: 14 });
  for (const text of ["", "3", "3.", ".4", "3.4.5", "-1.2", "a.b", "1e3.2"]) expect(parseSequence(text)).toBeNull();
});
