import { beforeEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { defineMethod, type DownlinkMessage, type Method, newUuidV7, type RequestMessage, type UplinkMessage } from "@hawser/csg-protocol";
import { GatewayMachine, type GatewayInput, type GatewayOutput, type GatewayTurn, JournalState, reconnectPauseMs } from "@hawser/gateway-sdk";

let distinct = 0;
const define = (name: string, lane: "query" | "config" | "task", idempotent: boolean): Method =>
  defineMethod({ name, lane, idempotent, params: z.strictObject({ key: z.string().optional() }), mutexKey: ({ key }) => key ?? `${name}${distinct++}` }) as unknown as Method;
const methods = new Map(["query", "config", "task"].map((lane) => [lane, define(lane, lane as "query", lane === "query")]));

let machine: GatewayMachine;
let journal: JournalState;
let now: number;
let seq: number;

beforeEach(() => {
  journal = new JournalState();
  journal.apply({ t: "install", id: "install-1" });
  now = 1_000_000;
  seq = 0;
  boot();
});

function boot(): GatewayTurn {
  machine = new GatewayMachine(journal, { bootId: "boot", agent: { name: "t", version: "1" }, methods });
  return tell({ kind: "boot" });
}

function tell(input: GatewayInput): GatewayTurn {
  return machine.receive(input, now);
}

function down(message: DownlinkMessage): GatewayTurn {
  return tell({ kind: "down", message });
}

function connect(resend: string[] = [], ack: string[] = []): GatewayTurn {
  tell({ kind: "connected" });
  return down({ v: 1, k: "welcome", serverTime: now, resend, ack, desired: {} });
}

function request(method: string, more: Partial<RequestMessage> = {}): RequestMessage {
  const lane = (methods.get(method)?.lane ?? "task") as "task";
  return { v: 1, k: "req", id: newUuidV7(), method, params: {}, reply: "final", ttl: 10_000, att: 1, lane, seq: ++seq, ...more };
}

const sent = (turn: GatewayTurn): UplinkMessage[] => turn.outputs.flatMap((output) => (output.kind === "send" ? [output.message] : []));
const runs = (turn: GatewayTurn): string[] => turn.outputs.flatMap((output) => (output.kind === "run" ? [output.id] : []));
const errorOf = (turn: GatewayTurn): string | undefined => (sent(turn)[0] as { error?: { reason: string } }).error?.reason;

describe("the machine of a gateway", () => {
  it("a request before welcome is not run; after it, it is journaled before it runs", () => {
    tell({ kind: "connected" });
    const req = request("query");
    expect(down(req)).toEqual({ entries: [], sync: false, outputs: [] });
    down({ v: 1, k: "welcome", serverTime: now, resend: [], ack: [], desired: {} });
    const turn = down(req);
    expect(turn.sync).toBe(true);
    expect(turn.entries.map((entry) => entry.t)).toEqual(["started"]);
    expect(turn.outputs.map((output: GatewayOutput) => output.kind)).toEqual(["send", "run"]);
  });

  it("the same id again is answered: accepted while it runs, the result when it is done, never run again", () => {
    connect();
    const req = request("task");
    expect(runs(down(req))).toEqual([req.id]);
    expect(sent(down({ ...req, att: 2 }))).toMatchObject([{ k: "acc", id: req.id }]);
    expect(sent(tell({ kind: "finished", id: req.id, outcome: { result: 7 } }))).toMatchObject([{ k: "res", result: 7 }]);
    const again = down({ ...req, att: 3 });
    expect(runs(again)).toEqual([]);
    expect(sent(again)).toMatchObject([{ k: "res", result: 7 }]);
  });

  it("after a crash a started command is UNKNOWN, an idempotent one runs again", () => {
    connect();
    const [task, query] = [request("task"), request("query")];
    down(task);
    down(query);
    const turn = boot();
    expect(turn.sync).toBe(true);
    expect(turn.entries).toMatchObject([{ t: "done", id: task.id, error: { code: "UNKNOWN", reason: "INTERRUPTED_BY_CRASH" } }]);
    const hello = sent(tell({ kind: "connected" }))[0];
    expect(hello).toMatchObject({ k: "hello", installId: "install-1", journal: [{ id: query.id, state: "started" }, { id: task.id, state: "done", code: "UNKNOWN" }] });
    const welcomed = down({ v: 1, k: "welcome", serverTime: now, resend: [task.id], ack: [], desired: {} });
    expect(errorOf(welcomed)).toBe("INTERRUPTED_BY_CRASH");
    expect(runs(down(query))).toEqual([query.id]);
  });

  it("an idempotent command that had begun before a crash is never called expired", () => {
    connect();
    const query = request("query");
    down(query);
    boot();
    connect();
    expect(errorOf(down({ ...query, ttl: 0 }))).toBe("INTERRUPTED_BY_CRASH");
  });

  it("an id that was asked about is never run afterwards", () => {
    connect();
    const req = request("task");
    const turn = down({ v: 1, k: "query", id: req.id });
    expect(turn.sync).toBe(true);
    expect(errorOf(turn)).toBe("NEVER_SEEN");
    expect(runs(down(req))).toEqual([]);
  });

  it("a request at or below the mark that is not in the journal is refused as UNKNOWN", () => {
    connect();
    journal.apply({ t: "mark", lane: "task", seq: 10 });
    expect(errorOf(down(request("task", { seq: 10 })))).toBe("BELOW_MARK");
    expect(runs(down(request("task", { seq: 11 })))).toHaveLength(1);
  });

  it("time that was lost on the way counts: the clock is the server's, learned from welcome", () => {
    tell({ kind: "connected" });
    down({ v: 1, k: "welcome", serverTime: now + 500_000, resend: [], ack: [], desired: {} });
    now += 60_000;
    const late = request("task", { at: now + 500_000 - 11_000, ttl: 10_000 });
    expect(errorOf(down(late))).toBe("NOT_ACCEPTED");
    expect(runs(down(request("task", { at: now + 500_000 - 9_000, ttl: 10_000 })))).toHaveLength(1);
  });

  it("lanes: four queries, one config command and two tasks at once, the next starts when one ends", () => {
    connect();
    for (const [lane, width] of [["query", 4], ["config", 1], ["task", 2]] as const) {
      const all = Array.from({ length: width + 1 }, () => request(lane));
      expect(all.flatMap((req) => runs(down(req)))).toEqual(all.slice(0, width).map((req) => req.id));
      expect(runs(tell({ kind: "finished", id: all[0]!.id, outcome: { result: null } }))).toEqual([all[width]!.id]);
    }
  });

  it("two commands with one mutex key run one after the other", () => {
    connect();
    const [one, two] = [request("task", { params: { key: "share" } }), request("task", { params: { key: "share" } })];
    expect(runs(down(one))).toEqual([one.id]);
    expect(runs(down(two))).toEqual([]);
    expect(runs(tell({ kind: "finished", id: one.id, outcome: { result: null } }))).toEqual([two.id]);
  });

  it("a seventeenth waiting command of a lane is refused, and stays refused when it comes again", () => {
    connect();
    for (let n = 0; n < 17; n++) down(request("config"));
    const req = request("config");
    expect(errorOf(down(req))).toBe("LANE_FULL");
    expect(errorOf(down(req))).toBe("LANE_FULL");
  });

  it("bad requests end with their reason: method, params, id, a gap of the config lane", () => {
    connect();
    expect(errorOf(down(request("nothing")))).toBe("METHOD_UNKNOWN");
    expect(errorOf(down(request("task", { params: { key: 1 } })))).toBe("PARAM_INVALID");
    expect(errorOf(down(request("task", { id: "7" })))).toBe("ID_INVALID");
    expect(errorOf(down(request("config", { prev: 99 })))).toBe("SEQ_GAP");
    expect(runs(down(request("config", { prev: 0 })))).toHaveLength(1);
  });

  it("progress is sent once per second, a new stage at once, the last word is not lost", () => {
    connect();
    const req = request("task");
    down(req);
    const report = (pct: number, stage?: string): UplinkMessage[] => sent(tell({ kind: "progress", id: req.id, progress: { pct, ...(stage ? { stage } : {}) } }));
    expect(report(1, "scan")).toMatchObject([{ k: "prog", n: 1, pct: 1, stage: "scan" }]);
    expect(report(2)).toEqual([]);
    expect(report(3)).toEqual([]);
    expect(report(4, "write")).toMatchObject([{ n: 4, pct: 4, stage: "write" }]);
    expect(report(5)).toEqual([]);
    now += 1_000;
    expect(sent(tell({ kind: "tick" }))).toMatchObject([{ n: 5, pct: 5, stage: "write" }]);
    expect(sent(tell({ kind: "tick" }))).toEqual([]);
  });

  it("a cancel aborts the handler; what it ends with counts, its failure is CANCELLED", () => {
    connect();
    const [one, two, three] = [request("task"), request("task"), request("task")];
    for (const req of [one, two, three]) down(req);
    expect(down({ v: 1, k: "cancel", id: one.id }).outputs).toEqual([{ kind: "abort", id: one.id, reason: "BY_OPERATOR" }]);
    const error = { code: "INTERNAL", reason: "HANDLER_FAILED", message: "", retryable: false } as const;
    expect(errorOf(tell({ kind: "finished", id: one.id, outcome: { error } }))).toBe("BY_OPERATOR");
    down({ v: 1, k: "cancel", id: two.id });
    expect(sent(tell({ kind: "finished", id: two.id, outcome: { result: 1 } }))).toMatchObject([{ k: "res", result: 1 }]);
    const waiting = request("task", { params: { key: "k" } });
    down(request("task", { params: { key: "k" } }));
    down(waiting);
    expect(errorOf(down({ v: 1, k: "cancel", id: waiting.id }))).toBe("BY_OPERATOR");
    expect(errorOf(down({ v: 1, k: "cancel", id: newUuidV7() }))).toBe("BY_OPERATOR");
  });

  it("a handler beyond its deadline is aborted, one that ignores that is given up", () => {
    connect();
    const req = request("query", { ttl: 500 });
    down(req);
    now += 500;
    expect(tell({ kind: "tick" }).outputs).toEqual([{ kind: "abort", id: req.id, reason: "EXEC_TIMEOUT" }]);
    now += 3_000;
    expect(errorOf(tell({ kind: "tick" }))).toBe("EXEC_TIMEOUT");
    expect(tell({ kind: "finished", id: req.id, outcome: { result: 1 } }).outputs).toEqual([]);
  });

  it("a task without progress for a minute is aborted, progress re-arms it", () => {
    connect();
    const req = request("task", { ttl: 10_000_000 });
    down(req);
    now += 59_000;
    tell({ kind: "progress", id: req.id, progress: { pct: 1 } });
    now += 59_000;
    expect(tell({ kind: "tick" }).outputs.filter((output) => output.kind === "abort")).toEqual([]);
    now += 1_000;
    expect(tell({ kind: "tick" }).outputs.filter((output) => output.kind === "abort")).toHaveLength(1);
  });

  it("hello pages a long journal and is repeated, slower and slower, until welcome", () => {
    for (let n = 1; n <= 250; n++) journal.apply({ t: "done", id: `id${n}`, lane: "task", seq: n, at: now, result: n });
    const pages = sent(tell({ kind: "connected" })) as (UplinkMessage & { k: "hello" })[];
    expect(pages.map((page) => [page.journal.length, page.more])).toEqual([[200, true], [50, false]]);
    expect(pages[0]!.journal[0]!.id).toBe("id250");
    now += 4_999;
    expect(sent(tell({ kind: "tick" }))).toHaveLength(0);
    now += 1;
    expect(sent(tell({ kind: "tick" }))).toHaveLength(2);
    now += 9_999;
    expect(sent(tell({ kind: "tick" }))).toHaveLength(0);
    down({ v: 1, k: "welcome", serverTime: now, resend: [], ack: [], desired: {} });
    now += 100_000;
    expect(sent(tell({ kind: "tick" }))).toHaveLength(0);
  });

  it("a result is told again until it is acknowledged, then hello is silent about it", () => {
    connect();
    const req = request("query");
    down(req);
    tell({ kind: "disconnected" });
    expect(tell({ kind: "finished", id: req.id, outcome: { result: 1 } }).outputs).toEqual([]);
    expect(sent(connect([req.id]))).toMatchObject([{ k: "res", id: req.id }]);
    down({ v: 1, k: "ack", ids: [req.id] });
    expect((sent(tell({ kind: "connected" }))[0] as UplinkMessage & { k: "hello" }).journal).toEqual([]);
  });

  it("a result that does not fit into a message becomes an error", () => {
    connect();
    const req = request("query");
    down(req);
    expect(errorOf(tell({ kind: "finished", id: req.id, outcome: { result: "x".repeat(70_000) } }))).toBe("RESULT_TOO_LARGE");
  });
});

describe("reconnecting", () => {
  it("the first retries are fast, later ones spread over up to a minute", () => {
    expect(reconnectPauseMs(0, 0.99)).toBeLessThan(100);
    expect(reconnectPauseMs(1, 0.99)).toBeLessThan(500);
    expect(reconnectPauseMs(2, 0.999)).toBeLessThanOrEqual(1_000);
    expect(reconnectPauseMs(30, 0.5)).toBe(30_000);
    expect(reconnectPauseMs(30, 0)).toBe(0);
  });
});
