import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Bus, type KvBucket } from "@hawser/bus";
import { startNatsServer, type NatsServer } from "@hawser/testkit";
import { ActorHost, decodeActorRecord, encodeActorRecord, type ActorHostOptions, type ActorKey } from "../src/index.ts";
import { keyOf, ScriptBehaviour, until, type Notes, type Order } from "./script-behaviour.ts";

type Host = ActorHost<Notes, Order, string>;

let server: NatsServer;
let bus: Bus;
let kv: KvBucket;
let bucket = "";
let buckets = 0;
let behaviour: ScriptBehaviour;
let epoch: number;
let serving: boolean;
let now: number;
let stale: number[];
let warnings: string[];
const hosts: Host[] = [];

beforeAll(async () => {
  server = await startNatsServer();
  bus = await Bus.connect({ url: server.url, name: "actors" });
});

afterAll(async () => {
  await bus.close();
  await server.stop();
});

beforeEach(async () => {
  bucket = `actors-${++buckets}`;
  kv = await bus.ensureKv(bucket);
  behaviour = new ScriptBehaviour();
  epoch = 1;
  serving = true;
  now = 1_000_000;
  stale = [];
  warnings = [];
});

afterEach(() => {
  for (const host of hosts.splice(0)) host.stop();
});

function newHost(options: Partial<ActorHostOptions<Notes, Order, string>> = {}): Host {
  const host = new ActorHost<Notes, Order, string>({
    bus,
    bucket,
    behaviour,
    epochOf: () => epoch,
    mayServe: () => serving,
    onStale: (shard) => stale.push(shard),
    now: () => now,
    log: { warn: (_, text) => warnings.push(text) },
    ...options,
  });
  hosts.push(host);
  return host;
}

async function openHost(options: Partial<ActorHostOptions<Notes, Order, string>> = {}): Promise<Host> {
  const host = newHost(options);
  await host.openShard(3, options.epochOf?.(3) ?? epoch);
  return host;
}

async function stored(key: ActorKey, suffix = ""): Promise<{ text: string; epoch: number; revision: number } | null> {
  const entry = await kv.get(nameOf(key, suffix));
  if (!entry) return null;
  const record = decodeActorRecord(entry.value);
  return { text: record.value.toString(), epoch: record.epoch, revision: entry.revision };
}

const nameOf = ({ shard, token }: ActorKey, suffix = ""): string => `${shard}.${token}${suffix === "" ? "" : `.${suffix}`}`;
const put = (key: ActorKey, atEpoch: number, text: string, suffix = "", revision = 0) =>
  kv.update(nameOf(key, suffix), encodeActorRecord(key, atEpoch, Buffer.from(text)), revision);
const saidAll = (...lines: string[]): Promise<void> => until(() => behaviour.said.length >= lines.length, `${lines.join(" ")}, got ${behaviour.said.join(" ")}`).then(() => expect(behaviour.said).toEqual(lines));
const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("the output gate", () => {
  it("lets an effect out only when the record of its turn is stored", async () => {
    const host = await openHost();
    const key = keyOf("a");
    let seen: ReturnType<typeof stored> | undefined;
    behaviour.onSay = () => (seen = stored(key));
    await server.kill("SIGSTOP");
    expect(host.tell(key, { write: [["", "one"]], say: ["one"] })).toBe("accepted");
    await until(() => host.writes === 1, "the write is on its way");
    for (let turn = 0; turn < 20; turn++) await tick();
    expect(behaviour.said).toEqual([]);
    await server.kill("SIGCONT");
    await saidAll("a: one");
    expect(await seen).toMatchObject({ text: "one", epoch: 1 });
  });

  it("does not hold an effect that nothing has to be stored for", async () => {
    const host = await openHost();
    host.tell(keyOf("a"), { say: ["at once"] });
    expect(behaviour.said).toEqual(["a: at once"]);
  });

  it("keeps the order of the turns, also of those that store nothing", async () => {
    const host = await openHost();
    const key = keyOf("a");
    host.tell(key, { say: ["1"] });
    host.tell(key, { write: [["", "x"]], say: ["2"] });
    host.tell(key, { say: ["3"] });
    await tick(); // the first write is on its way
    host.tell(key, { say: ["4"] });
    host.tell(key, { write: [["", "y"]], say: ["5"] });
    host.tell(key, { say: ["6"] });
    expect(behaviour.said).toEqual(["a: 1"]);
    await saidAll("a: 1", "a: 2", "a: 3", "a: 4", "a: 5", "a: 6");
    expect(await stored(key)).toMatchObject({ text: "y" });
  });

  it("lets out what the first write was for before the second is stored", async () => {
    const host = await openHost();
    const key = keyOf("a");
    const order: string[] = [];
    behaviour.onSay = (line) => {
      order.push(`${line} after ${host.writes} writes`);
      if (line === "1") host.tell(key, { write: [["", "y"]], say: ["3"] });
    };
    host.tell(key, { write: [["", "x"]], say: ["1"] });
    await tick();
    host.tell(key, { say: ["2"] });
    await saidAll("a: 1", "a: 2", "a: 3");
    expect(order).toEqual(["1 after 1 writes", "2 after 1 writes", "3 after 2 writes"]);
  });

  it("keeps the order when an effect tells its own actor, at once or after a write", async () => {
    const host = await openHost();
    const key = keyOf("a");
    behaviour.onSay = (line) => {
      if (line === "1" || line === "4") host.tell(key, { say: [`from ${line}`] });
    };
    host.tell(key, { say: ["1", "2"] });
    expect(behaviour.said).toEqual(["a: 1", "a: 2", "a: from 1"]);
    host.tell(key, { write: [["", "x"]], say: ["4", "5"] });
    await tick();
    host.tell(key, { say: ["6"] });
    await until(() => behaviour.said.length === 7, "all");
    expect(behaviour.said.slice(3)).toEqual(["a: 4", "a: 5", "a: 6", "a: from 4"]);
  });

  it("keeps the order when an effect that has waited tells its own actor, and nothing else waits", async () => {
    const host = await openHost();
    const key = keyOf("a");
    behaviour.onSay = (line) => void (line === "1" && host.tell(key, { say: ["from 1"] }));
    host.tell(key, { write: [["", "x"]], say: ["1", "2"] });
    await saidAll("a: 1", "a: 2", "a: from 1");
  });

  it("runs one turn at a time when an effect tells another actor, which tells back", async () => {
    const host = await openHost();
    behaviour.onSay = (line) => {
      if (line === "ask") host.tell(keyOf("b"), { say: ["asked"] });
      if (line === "asked") host.tell(keyOf("a"), { say: ["told back"] });
    };
    host.tell(keyOf("a"), { say: ["ask", "after"] });
    expect(behaviour.said).toEqual(["a: ask", "b: asked", "a: after", "a: told back"]);
  });
});

describe("records", () => {
  it("of many actors of a tick go out in one batch", async () => {
    const host = await openHost();
    const before = (await bus.jsm.streams.info(`KV_${bucket}`)).state.last_seq;
    for (let n = 0; n < 100; n++) host.tell(keyOf(`c${n}`), { write: [["", "x"]], say: ["x"] });
    const first = behaviour.said.length;
    await until(() => behaviour.said.length > 0, "the first answer");
    // one answer for all of them: they leave together
    expect([first, behaviour.said.length]).toEqual([0, 100]);
    expect((await bus.jsm.streams.info(`KV_${bucket}`)).state.last_seq).toBe(before + 100);
  });

  it("of turns that run while a write is on its way go into one update", async () => {
    const host = await openHost();
    const key = keyOf("a");
    for (let n = 1; n <= 50; n++) {
      if (n === 2) await tick();
      host.tell(key, { write: [["", String(n)]], say: [String(n)] });
    }
    await until(() => behaviour.said.length === 50, "all said");
    expect(behaviour.said).toEqual(Array.from({ length: 50 }, (_, at) => `a: ${at + 1}`));
    expect(host.writes).toBe(2);
    expect(await stored(key)).toMatchObject({ text: "50" });
  });

  it("of ticks that find four batches on their way wait, and go out together", async () => {
    const host = await openHost();
    await server.kill("SIGSTOP");
    for (let n = 1; n <= 30; n++) {
      host.tell(keyOf(`c${n}`), { write: [["", "x"]], say: ["x"] });
      await tick();
      await tick();
      expect(host.writes).toBe(Math.min(n, 4));
    }
    await server.kill("SIGCONT");
    await until(() => behaviour.said.length === 30, "all said");
    expect(host.writes).toBe(30);
  });

  it("are what an actor is made of after a crash", async () => {
    const first = await openHost();
    const key = keyOf("a");
    first.tell(key, { write: [["", "own"], ["c1", "one"], ["c2", "two"]], say: ["stored"] });
    await saidAll("a: stored");
    first.stop();
    const second = await openHost();
    second.tell(key, {});
    await until(() => second.peek(key) !== undefined, "loaded");
    expect(second.peek(key)!.records).toEqual(new Map([["", "own"], ["c1", "one"], ["c2", "two"]]));
  });

  it("are deleted, may be written again, and an actor without any is forgotten by its shard", async () => {
    const host = await openHost();
    const key = keyOf("a");
    host.tell(key, { write: [["", "x"], ["c", "y"]] });
    await tick();
    host.tell(key, { write: [["", null], ["c", null], ["never", null]], say: ["deleted"] });
    await saidAll("a: deleted");
    expect([await stored(key), await stored(key, "c")]).toEqual([null, null]);
    host.tell(key, { write: [["nothing", null]], say: ["nothing to delete"] });
    await saidAll("a: deleted", "a: nothing to delete");
    host.tell(key, { write: [["", "again"]], say: ["again"] });
    await saidAll("a: deleted", "a: nothing to delete", "a: again");
    expect(await stored(key)).toMatchObject({ text: "again" });
    expect(stale).toEqual([]);
  });

  it("that are written and deleted within one tick are never written", async () => {
    const host = await openHost();
    host.tell(keyOf("a"), { write: [["c", "x"]], say: ["1"] });
    host.tell(keyOf("a"), { write: [["c", null]], say: ["2"] });
    await saidAll("a: 1", "a: 2");
    expect(host.writes).toBe(0);
  });

  it("of an older epoch are stamped before anything leaves, by loadAll and by the first message", async () => {
    const [a, b] = [keyOf("a"), keyOf("b")];
    await Promise.all([put(a, 1, "a"), put(a, 1, "c", "c1"), put(b, 1, "b")]);
    epoch = 2;
    const host = newHost();
    await host.openShard(3, 2);
    let atFirst: ReturnType<typeof stored>[] = [];
    behaviour.onSay = (line) => line === "first" && (atFirst = [stored(a), stored(a, "c1")]);
    host.tell(a, { say: ["first"] });
    expect(behaviour.said).toEqual([]);
    await saidAll("a: first");
    expect(await Promise.all(atFirst)).toMatchObject([{ text: "a", epoch: 2 }, { text: "c", epoch: 2 }]);
    expect(await host.loadAll(3)).toEqual([b]);
    await until(async () => (await stored(b))!.epoch === 2, "stamped");
    expect(host.active).toBe(2);
  });

  it("that cannot be read leave the rest of the shard alone", async () => {
    const [good, bad] = [keyOf("good"), keyOf("bad")];
    await Promise.all([put(good, 1, "x"), kv.create(nameOf(bad), Buffer.from("no record"))]);
    const host = await openHost();
    expect(await host.loadAll(3)).toEqual([good]);
    host.tell(good, { say: ["here"] });
    expect(behaviour.said).toEqual(["good: here"]);
    host.tell(bad, { write: [["", "overwritten"]] });
    await until(() => warnings.includes("actor in quarantine: messages lost"), "given up");
    expect(host.tell(bad, {})).toBe("busy");
    expect((await kv.get(nameOf(bad)))!.value.toString()).toBe("no record");
  });

  it("of another Client ID under the same token are not touched", async () => {
    const key = keyOf("a");
    await kv.create(nameOf(key), encodeActorRecord(keyOf("other"), 1, Buffer.from("x")));
    const host = await openHost();
    expect(host.tell(key, { write: [["", "y"]] })).toBe("busy");
    expect(decodeActorRecord((await kv.get(nameOf(key)))!.value).clientId).toBe("other");
  });
});

describe("another owner", () => {
  it("has written: the actor is dropped, nothing of it leaves, and its shard is told", async () => {
    const host = await openHost();
    const key = keyOf("a");
    host.tell(key, { write: [["", "mine"]], say: ["mine"] });
    await saidAll("a: mine");
    const { revision } = (await stored(key))!;
    expect((await put(key, 2, "theirs", "", revision)).kind).toBe("ok");
    host.tell(key, { write: [["", "stale"]], say: ["stale"] });
    host.tell(key, { say: ["behind it"] });
    await until(() => stale.length > 0, "told");
    expect(stale).toEqual([3]);
    expect(host.peek(key)).toBeUndefined();
    expect(behaviour.said).toEqual(["a: mine"]);
    expect(await stored(key)).toMatchObject({ text: "theirs", epoch: 2 });
    host.tell(key, {});
    await until(() => host.peek(key) !== undefined, "loaded again");
    expect(host.peek(key)!.records.get("")).toBe("theirs");
  });

  it("has deleted a record: the same", async () => {
    const host = await openHost();
    const key = keyOf("a");
    host.tell(key, { write: [["", "mine"]], say: ["mine"] });
    await saidAll("a: mine");
    await kv.delete(nameOf(key), (await stored(key))!.revision);
    host.tell(key, { write: [["", "stale"]], say: ["stale"] });
    await until(() => stale.length > 0, "told");
    expect([behaviour.said, await stored(key)]).toEqual([["a: mine"], null]);
  });

  it("stamps, and a write that was under way from the older one is refused", async () => {
    const key = keyOf("a");
    const behaviours = [behaviour, new ScriptBehaviour()];
    const older = await openHost({ epochOf: () => 1 });
    older.tell(key, { write: [["", "1"]], say: ["1"] });
    await saidAll("a: 1");
    const newer = await openHost({ epochOf: () => 2, behaviour: behaviours[1]! });
    newer.tell(key, { say: ["stamped"] });
    await until(() => behaviours[1]!.said.length === 1, "stamped");
    older.tell(key, { write: [["", "2"]], say: ["2"] });
    await until(() => stale.length === 1, "refused");
    expect([behaviour.said, await stored(key)]).toMatchObject([["a: 1"], { text: "1", epoch: 2 }]);
  });

  it("is named by the epoch: without it or without leave to serve a message is fenced", async () => {
    const host = await openHost();
    const key = keyOf("a");
    serving = false;
    expect(host.tell(key, { say: ["x"] })).toBe("fenced");
    serving = true;
    epoch = 2;
    expect(host.tell(key, { say: ["x"] })).toBe("fenced");
    epoch = 1;
    expect(host.tell(keyOf("a", 4), { say: ["x"] })).toBe("fenced");
    expect(host.tell(key, { say: ["x"] })).toBe("accepted");
    await host.closeShard(3);
    expect(host.tell(key, { say: ["x"] })).toBe("fenced");
    expect(behaviour.said).toEqual(["a: x"]);
  });
});

describe("a mailbox", () => {
  it("holds messages while its actor is loaded, in order, and refuses more than it may hold", async () => {
    const key = keyOf("a");
    await put(key, 1, "x");
    const host = await openHost({ mailboxLimit: 3, sweepMs: 5 });
    await host.loadAll(3);
    await passivateAll(host);
    const told = [1, 2, 3, 4].map((n) => host.tell(key, { say: [String(n)] }));
    expect(told).toEqual(["accepted", "accepted", "accepted", "busy"]);
    await saidAll("a: 1", "a: 2", "a: 3");
    expect(host.tell(key, { say: ["5"] })).toBe("accepted");
  });

  it("of an actor that is being loaded waits while its process may not serve, also with nothing to store", async () => {
    const key = keyOf("a");
    await put(key, 1, "x");
    const host = await openHost({ sweepMs: 5 });
    await host.loadAll(3);
    await passivateAll(host);
    expect(host.tell(key, { say: ["1"] })).toBe("accepted");
    serving = false;
    await new Promise((resolve) => setTimeout(resolve, 250)); // longer than it takes to read a record
    expect(behaviour.said).toEqual([]);
    serving = true;
    await saidAll("a: 1");
  });

  it("counts turns whose effects are gated", async () => {
    const host = await openHost({ mailboxLimit: 3 });
    const key = keyOf("a");
    const told = [1, 2, 3, 4].map((n) => host.tell(key, { write: [["", String(n)]], say: [String(n)] }));
    expect(told).toEqual(["accepted", "accepted", "accepted", "busy"]);
    expect(host.tell(keyOf("b"), { say: ["b"] })).toBe("accepted");
    await saidAll("b: b", "a: 1", "a: 2", "a: 3");
    expect(host.tell(key, { say: ["5"] })).toBe("accepted");
  });
});

/** A host with a fast sweep and a clock that has moved on. */
async function passivateAll(host: Host): Promise<void> {
  now += 1_000_000;
  await until(() => host.active === 0, "passivated");
}

describe("passivation", () => {
  it("forgets idle actors, which come back from what was written last", async () => {
    const key = keyOf("a");
    await put(key, 1, "before");
    const host = await openHost({ sweepMs: 5, idleMs: 1_000 });
    host.tell(key, { write: [["", "after"]], say: ["1"] });
    await saidAll("a: 1");
    await passivateAll(host);
    host.tell(key, { write: [["c", "more"]], say: ["2"] });
    await saidAll("a: 1", "a: 2");
    expect(host.peek(key)!.records).toEqual(new Map([["", "after"], ["c", "more"]]));
    expect([behaviour.created, stale]).toEqual([["a", "a"], []]);
  });

  it("leaves alone who was used lately, says it is not idle, or waits for the store", async () => {
    const host = await openHost({ sweepMs: 1, idleMs: 1_000 });
    host.tell(keyOf("old"), {});
    behaviour.mayRest = false;
    now += 2_000;
    host.tell(keyOf("new"), {});
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setTimeout(resolve, 2));
    expect(host.active).toBe(2);
    behaviour.mayRest = true;
    await until(() => host.active === 1, "the old one rests");
    await server.kill("SIGSTOP");
    host.tell(keyOf("new"), { write: [["", "x"]], say: ["x"] });
    now += 2_000;
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setTimeout(resolve, 2));
    expect(host.active).toBe(1);
    await server.kill("SIGCONT");
    await saidAll("new: x");
    await until(() => host.active === 0, "and then the new one");
  });
});

describe("an actor that throws", () => {
  it("in a turn: earlier turns are stored and leave, later ones run on what is stored", async () => {
    const host = await openHost();
    const key = keyOf("a");
    host.tell(key, { write: [["", "1"]], say: ["1"] });
    host.tell(key, { write: [["", "broken"]], throws: "receive", say: ["broken"] });
    host.tell(key, { write: [["c", "3"]], say: ["3"] });
    await saidAll("a: 1", "a: 3");
    expect(host.peek(key)!.records).toEqual(new Map([["", "1"], ["c", "3"]]));
    expect([await stored(key), await stored(key, "c")]).toMatchObject([{ text: "1" }, { text: "3" }]);
    expect([behaviour.created, stale]).toEqual([["a", "a"], []]);
  });

  it("in a turn without records begins anew at once", async () => {
    const host = await openHost();
    const key = keyOf("a");
    host.tell(key, { throws: "receive" });
    expect(host.peek(key)).toBeUndefined();
    expect(host.tell(key, { say: ["here"] })).toBe("accepted");
    expect(behaviour.said).toEqual(["a: here"]);
    expect(host.peek(key)!.turns).toBe(1);
  });

  it("in an effect: the effects of other turns leave, later messages are handled", async () => {
    const host = await openHost();
    const key = keyOf("a");
    host.tell(key, { write: [["", "1"]], say: ["1"] });
    host.tell(key, { write: [["", "2"]], throws: "perform" });
    host.tell(key, { write: [["", "3"]], say: ["3"] });
    await tick();
    host.tell(key, { write: [["", "4"]], say: ["4"] });
    await saidAll("a: 1", "a: 3", "a: 4");
    host.tell(key, { say: ["5"] });
    await saidAll("a: 1", "a: 3", "a: 4", "a: 5");
    expect(host.peek(key)!.records.get("")).toBe("4");
    expect(warnings).toEqual(["actor failed: loaded again"]);
  });

  it("in an effect that leaves at once: the messages behind it are handled by a new one", async () => {
    const host = await openHost();
    const key = keyOf("a");
    behaviour.onSay = (line) => {
      if (line !== "1") return;
      host.tell(key, { say: ["2"] });
      throw new Error("perform");
    };
    host.tell(key, { say: ["1"] });
    expect(behaviour.said).toEqual(["a: 1", "a: 2"]);
    expect(behaviour.created).toEqual(["a", "a"]);
  });

  it("three times within a minute is left alone for half a minute", async () => {
    const host = await openHost();
    const key = keyOf("a");
    for (let n = 0; n < 3; n++) {
      expect(host.tell(key, { throws: "receive" })).toBe("accepted");
      now += 1_000;
    }
    expect(host.tell(key, { say: ["x"] })).toBe("busy");
    expect(host.tell(keyOf("b"), { say: ["x"] })).toBe("accepted");
    now += 28_900;
    expect(host.tell(key, { say: ["x"] })).toBe("busy");
    now += 200;
    expect(host.tell(key, { say: ["back"] })).toBe("accepted");
    expect(behaviour.said).toEqual(["b: x", "a: back"]);
  });

  it("now and then is not left alone", async () => {
    const host = await openHost();
    for (let n = 0; n < 5; n++) {
      expect(host.tell(keyOf("a"), { throws: "receive" })).toBe("accepted");
      now += 31_000;
    }
  });

  it("when it is made takes no message", async () => {
    const host = await openHost();
    behaviour.createThrows = true;
    expect(host.tell(keyOf("a"), { say: ["x"] })).toBe("busy");
    behaviour.createThrows = false;
    expect(host.tell(keyOf("a"), { say: ["x"] })).toBe("accepted");
  });
});

describe("closing a shard", () => {
  it("waits for what was accepted: being loaded, stored and said", async () => {
    const [stored1, fresh] = [keyOf("stored"), keyOf("fresh")];
    await put(stored1, 1, "x");
    const host = await openHost({ sweepMs: 5, idleMs: 1_000 });
    await host.loadAll(3);
    await passivateAll(host);
    host.tell(fresh, { write: [["", "y"]], say: ["stored"] });
    host.tell(stored1, { write: [["", "z"]], say: ["loaded"] });
    await host.closeShard(3);
    expect(behaviour.said.toSorted()).toEqual(["fresh: stored", "stored: loaded"]);
    expect(host.active).toBe(0);
  });

  it("does not wait while NATS is away", async () => {
    const away = await startNatsServer();
    const its = await Bus.connect({ url: away.url, name: "away" });
    await its.ensureKv(bucket);
    const host = await openHost({ bus: its });
    await away.kill();
    await until(() => !its.connected, "away");
    host.tell(keyOf("a"), { write: [["", "x"]], say: ["x"] });
    const since = performance.now();
    await host.closeShard(3);
    expect(performance.now() - since).toBeLessThan(1_000);
    expect(behaviour.said).toEqual([]);
    await its.close();
    await away.stop();
  });

  it("and opening it again under another epoch is a new life", async () => {
    const host = await openHost();
    const key = keyOf("a");
    host.tell(key, { write: [["", "x"]], say: ["1"] });
    await saidAll("a: 1");
    epoch = 5;
    await host.openShard(3, 5);
    host.tell(key, { say: ["2"] });
    await saidAll("a: 1", "a: 2");
    expect(await stored(key)).toMatchObject({ text: "x", epoch: 5 });
    expect(stale).toEqual([]);
  });
});
