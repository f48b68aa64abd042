import { beforeEach, describe, expect, it } from "vitest";
import { type HelloMessage, newUuidV7, type UplinkMessage } from "@hawser/csg-protocol";
import { receive } from "../src/command-machine.ts";
import type { CommandView } from "../src/command.ts";
import { createGateway, type GatewayState } from "../src/gateway-state.ts";
import type { CommandRequest, GatewayEffect, GatewayMessage, Reply } from "../src/machine-messages.ts";
import type { MachineSettings } from "../src/machine-settings.ts";

const KEY = { instance: "default", clientId: "GID_gateway@@@gw-1" };
const settings: MachineSettings = {
  deliveryTimeoutMs: 10_000,
  deliveryAttempts: 3,
  acceptTimeoutMs: 10_000,
  resendMinMs: 2_000,
  resendMaxMs: 30_000,
  stepTimeoutMs: 60_000,
  inDoubtGraceMs: 5_000,
  reconcileWindowMs: 604_800_000,
  presenceGraceMs: 10_000,
  retentionMs: 604_800_000,
  maxQueued: 5,
  queryLane: 4,
  taskLane: 2,
  ackDelayMs: 100,
  helloWaitMs: 5_000,
  random: () => 0.5,
};

let state: GatewayState;
let now: number;
let records: Map<string, Buffer>;
let effects: GatewayEffect[];

beforeEach(() => {
  now = 1_000_000;
  records = new Map();
  state = createGateway(KEY, []);
});

function tell(message: GatewayMessage): GatewayEffect[] {
  const turn = receive(state, message, now, settings);
  for (const { suffix, value } of turn.writes) {
    if (value) records.set(suffix, value);
    else records.delete(suffix);
  }
  effects = [...turn.effects];
  return effects;
}

/** The owner dies; the next one has the records only. */
function crash(): GatewayEffect[] {
  state = createGateway(KEY, [...records].map(([suffix, value]) => ({ suffix, value })));
  return tell({ kind: "tick" });
}

function pass(ms: number): GatewayEffect[] {
  const all: GatewayEffect[] = [];
  const end = now + ms;
  while (state.nextDeadlineAt <= end) {
    now = Math.max(now, state.nextDeadlineAt);
    all.push(...tell({ kind: "tick" }));
  }
  now = end;
  return (effects = all);
}

function request(more: Partial<CommandRequest> = {}): CommandRequest {
  return {
    id: newUuidV7(),
    method: "share.reverseSync",
    params: { share: "s" },
    bodyHash: "h",
    lane: "task",
    mutexKey: null,
    reply: "final",
    replyTopic: "csg-cmd-reply",
    echo: [],
    principal: "",
    traceparent: "",
    bornAt: now,
    queueTtlMs: 60_000,
    execMs: 30_000,
    ...more,
  };
}

function submit(req: CommandRequest): CommandView {
  const answer = tell({ kind: "submit", request: req, answerTo: 1 }).find((effect) => effect.kind === "answer");
  return (answer as unknown as { answer: { command: CommandView } }).answer.command;
}

function up(message: UplinkMessage): GatewayEffect[] {
  return tell({ kind: "uplink", message, publishedAt: now, traceparent: "", answerTo: 2 });
}

function hello(more: Partial<HelloMessage> = {}): GatewayEffect[] {
  return up({
    v: 1,
    k: "hello",
    bootId: "b1",
    installId: "i1",
    agent: { name: "a", version: "1" },
    proto: [1],
    methods: {},
    high: { query: 0, config: 0, task: 0 },
    journal: [],
    more: false,
    versions: {},
    ...more,
  });
}

let counter = 0;
function presence(type: "connect" | "tcpclean", channelId: string): GatewayEffect[] {
  return tell({ kind: "presence", event: { type, clientId: KEY.clientId, channelId, clientIp: "1:1", atMs: now, epoch: 1, counter: ++counter }, answerTo: 3 });
}

const offline = (id: string, attempt = 1): GatewayEffect[] => tell({ kind: "outcome", id, attempt, state: "offline" });
const downs = (): string[] => effects.flatMap((effect) => (effect.kind === "downlink" ? [effect.message.k] : []));
const replies = (): Reply[] => effects.flatMap((effect) => (effect.kind === "reply" ? [effect.reply] : []));
const stateOf = (id: string): string => state.commands.get(id)!.state;

describe("submit", () => {
  it("to a gateway nobody has ever seen ends NOT_FOUND, also when it is asked again after the gateway came", () => {
    const req = request();
    expect(submit(req)).toMatchObject({ state: "REJECTED", error: { code: "NOT_FOUND", reason: "GATEWAY_NOT_FOUND" } });
    expect(replies()).toMatchObject([{ kind: "final", status: 404, code: "NOT_FOUND", problem: true }]);
    hello();
    tell({ kind: "replied", id: req.id, n: 1, stored: true });
    submit(req);
    expect(downs()).toEqual([]);
    expect(replies()).toMatchObject([{ kind: "final", code: "NOT_FOUND", n: 1 }]);
  });

  it("to a connected gateway is SENT, in a record, before it goes out", () => {
    hello();
    const req = request();
    const turn = receive(state, { kind: "submit", request: req, answerTo: 1 }, now, settings);
    expect(turn.writes.map((write) => [write.suffix, JSON.parse(write.value!.toString()).state])).toEqual([[req.id, "SENT"]]);
    expect(turn.effects.find((effect) => effect.kind === "downlink")).toMatchObject({ message: { k: "req", id: req.id, att: 1, seq: 1, ttl: 30_000 } });
  });

  it("with the same id and another body is rejected and leaves the command alone", () => {
    hello();
    const req = request();
    submit(req);
    tell({ kind: "submit", request: { ...req, bodyHash: "other" }, answerTo: 9 });
    expect(replies()).toMatchObject([{ kind: "rejected", code: "ALREADY_EXISTS", status: 409 }]);
    expect(effects.filter((effect) => effect.kind === "answer")).toEqual([]);
    expect(stateOf(req.id)).toBe("SENT");
  });

  it("with the same id and body does nothing, and tells the end again when there is one", () => {
    hello();
    const req = request();
    submit(req);
    submit(req);
    expect(downs()).toEqual([]);
    up({ v: 1, k: "res", id: req.id, att: 1, result: 1 });
    tell({ kind: "replied", id: req.id, n: 1, stored: true });
    submit(req);
    expect(replies()).toMatchObject([{ kind: "final", n: 1, body: 1 }]);
  });

  it("whose deadline has passed expires at once", () => {
    hello();
    expect(submit(request({ execMs: -1 }))).toMatchObject({ state: "EXPIRED", error: { code: "DEADLINE_EXCEEDED", reason: "NOT_DELIVERED" } });
    expect(submit(request({ bornAt: now - 60_000 }))).toMatchObject({ state: "EXPIRED" });
    expect(downs()).toEqual([]);
  });

  it("beyond the queue's length is RESOURCE_EXHAUSTED", () => {
    hello();
    presence("tcpclean", "");
    for (let n = 0; n < 5; n++) expect(submit(request())).toMatchObject({ state: "QUEUED" });
    expect(submit(request())).toMatchObject({ state: "REJECTED", error: { reason: "QUEUE_FULL" } });
  });
});

describe("an absent gateway", () => {
  beforeEach(() => {
    hello();
    presence("connect", "c1");
    presence("tcpclean", "c1");
  });

  it("without queue time is UNAVAILABLE at once", () => {
    expect(submit(request({ queueTtlMs: 0 }))).toMatchObject({ state: "REJECTED", error: { code: "UNAVAILABLE", reason: "GATEWAY_OFFLINE" } });
  });

  it("with a short queue time expires and never runs, whatever comes later", () => {
    const req = request({ queueTtlMs: 3_000 });
    expect(submit(req)).toMatchObject({ state: "QUEUED" });
    pass(3_000);
    expect(replies()).toMatchObject([{ kind: "final", code: "DEADLINE_EXCEEDED", reason: "NOT_DELIVERED", status: 504 }]);
    presence("connect", "c2");
    hello({ bootId: "b2" });
    expect(downs()).toEqual(["welcome"]);
    expect(stateOf(req.id)).toBe("EXPIRED");
  });

  it("with a long one runs when it returns, also under another owner", () => {
    const req = request({ queueTtlMs: 3_600_000 });
    submit(req);
    pass(100_000);
    crash();
    offline(req.id);
    expect(stateOf(req.id)).toBe("QUEUED");
    presence("connect", "c2");
    expect(downs()).toEqual([]);
    hello({ bootId: "b2" });
    expect(downs()).toEqual(["welcome", "req"]);
  });

  it("that the session owner calls absent keeps its commands waiting, with their time untouched", () => {
    presence("connect", "c2");
    hello();
    const req = request({ queueTtlMs: 3_600_000 });
    now += 10;
    submit(req);
    offline(req.id);
    expect(stateOf(req.id)).toBe("QUEUED");
    pass(100_000);
    expect(stateOf(req.id)).toBe("QUEUED");
    hello();
    expect(effects.find((effect) => effect.kind === "downlink" && effect.message.k === "req")).toMatchObject({ message: { ttl: 30_000, seq: 1 } });
  });

  it("is told offline after the grace only, and not at all when it is back before", () => {
    const isOffline = (): boolean => effects.some((effect) => effect.kind === "presence-event" && !effect.online);
    pass(9_999);
    expect(isOffline()).toBe(false);
    pass(1);
    expect(isOffline()).toBe(true);
    presence("connect", "c2");
    presence("tcpclean", "c2");
    pass(5_000);
    presence("connect", "c3");
    pass(20_000);
    expect(isOffline()).toBe(false);
  });

  it("the end of an older connection changes nothing", () => {
    presence("connect", "c2");
    presence("tcpclean", "c1");
    hello();
    submit(request());
    expect(downs()).toEqual(["req"]);
  });
});

describe("a command on its way", () => {
  beforeEach(() => {
    hello();
  });

  it("goes through its states and answers accepted, progress and final, in that order", () => {
    const req = request({ reply: "progress" });
    submit(req);
    tell({ kind: "receipt", id: req.id, attempt: 1, delivered: true });
    expect(stateOf(req.id)).toBe("DELIVERED");
    up({ v: 1, k: "acc", id: req.id, att: 1 });
    expect(replies()).toMatchObject([{ kind: "accepted", status: 202 }]);
    up({ v: 1, k: "prog", id: req.id, att: 1, n: 1, pct: 40, stage: "scan" });
    expect(replies()).toMatchObject([{ kind: "progress", n: 1, body: { n: 1, pct: 40, stage: "scan" } }]);
    up({ v: 1, k: "prog", id: req.id, att: 1, n: 1, pct: 40 });
    expect(replies()).toEqual([]);
    up({ v: 1, k: "res", id: req.id, att: 1, result: { objects: 3 } });
    expect(replies()).toMatchObject([{ kind: "final", status: 200, code: "OK", origin: "device", body: { objects: 3 } }]);
    expect(state.commands.get(req.id)!.history.map(([name]) => name)).toEqual(["QUEUED", "SENT", "DELIVERED", "ACCEPTED", "RUNNING", "SUCCEEDED"]);
  });

  it("a later state may come first, an earlier one is ignored then", () => {
    const req = request();
    submit(req);
    up({ v: 1, k: "res", id: req.id, att: 1, result: 1 });
    up({ v: 1, k: "acc", id: req.id, att: 1 });
    tell({ kind: "receipt", id: req.id, attempt: 1, delivered: true });
    expect(stateOf(req.id)).toBe("SUCCEEDED");
  });

  it("without a receipt is sent again, same id and seq, and after three of them the session is dropped", () => {
    const req = request({ execMs: 600_000 });
    submit(req);
    pass(10_000);
    expect(effects.find((effect) => effect.kind === "downlink")).toMatchObject({ message: { id: req.id, att: 2, seq: 1, ttl: 590_000 } });
    pass(30_000);
    expect(effects.some((effect) => effect.kind === "drop-session")).toBe(true);
  });

  it("with reply none no reply is sent, whatever its end", () => {
    const [good, bad] = [request({ reply: "none" }), request({ reply: "none" })];
    for (const req of [good, bad]) submit(req);
    up({ v: 1, k: "res", id: good.id, att: 1, result: 1 });
    expect(replies()).toEqual([]);
    up({ v: 1, k: "res", id: bad.id, att: 1, error: { code: "INTERNAL", reason: "HANDLER_FAILED", message: "", retryable: false } });
    expect(replies()).toEqual([]);
    expect([stateOf(good.id), stateOf(bad.id)]).toEqual(["SUCCEEDED", "FAILED"]);
  });

  it("lanes: a third task waits until one of two ends", () => {
    const all = [request(), request(), request()];
    expect(all.map((req) => submit(req).state)).toEqual(["SENT", "SENT", "QUEUED"]);
    up({ v: 1, k: "res", id: all[0]!.id, att: 1, result: 1 });
    expect(stateOf(all[2]!.id)).toBe("SENT");
  });

  it("commands with one mutex key run one after the other", () => {
    const [one, two] = [request({ mutexKey: "k" }), request({ mutexKey: "k" })];
    expect([submit(one).state, submit(two).state]).toEqual(["SENT", "QUEUED"]);
    up({ v: 1, k: "res", id: one.id, att: 1, result: 1 });
    expect(stateOf(two.id)).toBe("SENT");
  });

  it("results are acknowledged with the next message down, or soon by one of their own", () => {
    const req = request();
    submit(req);
    up({ v: 1, k: "res", id: req.id, att: 1, result: 1 });
    expect(downs()).toEqual([]);
    pass(100);
    expect(effects.find((effect) => effect.kind === "downlink")).toMatchObject({ message: { k: "ack", ids: [req.id] } });
  });

  it("an answer for a command of somebody else is refused and audited", () => {
    up({ v: 1, k: "res", id: newUuidV7(), att: 1, result: "stolen" });
    expect(effects.find((effect) => effect.kind === "audit")).toMatchObject({ what: "foreign-answer" });
    expect(replies()).toEqual([]);
    expect(effects.find((effect) => effect.kind === "answer")).toMatchObject({ answer: { ok: true, ignored: "foreign" } });
  });

  it("a cancel ends what waits, and asks the gateway to end what runs", () => {
    const [running, , waiting] = [request(), request(), request()].map((req) => (submit(req), req)) as [CommandRequest, CommandRequest, CommandRequest];
    tell({ kind: "cancel", id: waiting.id, answerTo: 5 });
    expect(stateOf(waiting.id)).toBe("CANCELLED");
    up({ v: 1, k: "acc", id: running.id, att: 1 });
    tell({ kind: "cancel", id: running.id, answerTo: 6 });
    expect(downs()).toEqual(["cancel"]);
    up({ v: 1, k: "res", id: running.id, att: 1, error: { code: "CANCELLED", reason: "BY_OPERATOR", message: "", retryable: false } });
    expect(stateOf(running.id)).toBe("CANCELLED");
  });
});

describe("in doubt", () => {
  let req: CommandRequest;
  beforeEach(() => {
    hello();
    req = request();
    submit(req);
    up({ v: 1, k: "acc", id: req.id, att: 1 });
    presence("connect", "c1");
    presence("tcpclean", "c1");
    pass(35_000);
  });

  it("comes when its time is over and the gateway has not told; the caller hears UNKNOWN a little later", () => {
    expect(stateOf(req.id)).toBe("IN_DOUBT");
    pass(5_000);
    expect(replies()).toMatchObject([{ kind: "final", code: "UNKNOWN", reason: "IN_DOUBT", n: 1, late: false }]);
  });

  it("ends with what the gateway's journal holds, told as a late result", () => {
    pass(5_000);
    tell({ kind: "replied", id: req.id, n: 1, stored: true });
    hello({ journal: [{ id: req.id, state: "done", code: "OK" }] });
    expect(effects.find((effect) => effect.kind === "downlink")).toMatchObject({ message: { k: "welcome", resend: [req.id] } });
    up({ v: 1, k: "res", id: req.id, att: 0, result: 5 });
    expect(replies()).toMatchObject([{ kind: "final", code: "OK", n: 2, late: true, body: 5 }]);
  });

  it("ends UNKNOWN when the gateway had accepted it and no longer knows it", () => {
    hello();
    expect(downs()).toEqual(["welcome", "query"]);
    up({ v: 1, k: "res", id: req.id, att: 0, error: { code: "NOT_FOUND", reason: "NEVER_SEEN", message: "", retryable: false } });
    expect(stateOf(req.id)).toBe("UNKNOWN");
  });

  it("ends EXPIRED when it never came to the gateway, but not when that has been installed anew", () => {
    for (const [installId, end] of [["i1", "EXPIRED"], ["i2", "UNKNOWN"]] as const) {
      state = createGateway(KEY, []);
      hello();
      const lost = request({ queueTtlMs: 0 });
      submit(lost);
      pass(36_000);
      expect(stateOf(lost.id)).toBe("IN_DOUBT");
      hello({ installId });
      up({ v: 1, k: "res", id: lost.id, att: 0, error: { code: "NOT_FOUND", reason: "NEVER_SEEN", message: "", retryable: false } });
      expect(stateOf(lost.id)).toBe(end);
    }
  });

  it("ends UNKNOWN when the gateway stays away for the whole window", () => {
    pass(604_800_000);
    expect(stateOf(req.id)).toBe("UNKNOWN");
    expect(effects.some((effect) => effect.kind === "audit" && effect.what === "outcome-unknown")).toBe(true);
  });
});

describe("a new owner", () => {
  it("sends again what was sent, and hands owed replies to the log again", () => {
    hello();
    const [open, ended] = [request(), request()];
    submit(open);
    submit(ended);
    up({ v: 1, k: "res", id: ended.id, att: 1, result: 1 });
    crash();
    expect(effects.filter((effect) => effect.kind === "downlink")).toMatchObject([{ message: { id: open.id, seq: 1 } }]);
    expect(replies()).toMatchObject([{ id: ended.id, kind: "final", n: 1 }]);
    tell({ kind: "replied", id: ended.id, n: 1, stored: true });
    crash();
    expect(replies()).toEqual([]);
  });

  it("never uses a seq twice, even when the commands that had it are forgotten", () => {
    hello();
    const first = request();
    submit(first);
    up({ v: 1, k: "res", id: first.id, att: 1, result: 1 });
    tell({ kind: "replied", id: first.id, n: 1, stored: true });
    now += settings.retentionMs + 1;
    crash();
    expect(records.has(first.id)).toBe(false);
    crash();
    submit(request());
    expect(effects.find((effect) => effect.kind === "downlink")).toMatchObject({ message: { seq: 2 } });
  });

  it("tries a reply again that the log did not take", () => {
    hello();
    const req = request();
    submit(req);
    up({ v: 1, k: "res", id: req.id, att: 1, result: 1 });
    tell({ kind: "replied", id: req.id, n: 1, stored: false });
    pass(5_000);
    expect(replies()).toMatchObject([{ kind: "final", n: 1 }]);
  });
});
