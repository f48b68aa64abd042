import { Bus } from "@hawser/bus";
import { startNatsServer, type NatsServer } from "@hawser/testkit";
import { buckets, encodeAnswer, subjects } from "@hawser/wire";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type CallError, type CallOptions, ensureLayout, MemberBoard, ShardCaller, ShardDirectory } from "../src/index.ts";
import { TIMES, until } from "./fleet.ts";

let server: NatsServer;
let bus: Bus;
const closers: (() => void)[] = [];

beforeAll(async () => {
  server = await startNatsServer();
  bus = await Bus.connect({ url: server.url, name: "test" });
});

afterAll(async () => {
  await bus.close();
  await server.stop();
});

afterEach(() => {
  for (const close of closers.splice(0)) close();
});

describe("calling the owner of a shard", () => {
  let service = "";
  let round = 0;
  let caller: ShardCaller;
  const subject = (shard: number, epoch: number): string => subjects.actorOwner(service, shard, epoch);

  beforeEach(async () => {
    service = `service${++round}`;
    const directory = new ShardDirectory({ bus, service });
    await directory.start();
    closers.push(() => directory.stop());
    caller = new ShardCaller({ bus, directory, subject });
  });

  async function record(shard: number, owner: string, epoch: number): Promise<void> {
    const kv = bus.kv(buckets.shards);
    const stored = await kv.get(`${service}.${shard}`);
    await kv.update(`${service}.${shard}`, Buffer.from(JSON.stringify({ version: 1, owner, epoch })), stored?.revision ?? 0);
  }

  function serve(shard: number, epoch: number, answer: (said: string) => string | null): string[] {
    const heard: string[] = [];
    const subscription = bus.subscribe(subject(shard, epoch), (message) => {
      const said = message.data.toString();
      heard.push(said);
      const text = answer(said);
      if (text !== null) message.respond(Buffer.from(text));
    });
    closers.push(() => subscription.unsubscribe());
    return heard;
  }

  function call(shard: number, said: string, options: CallOptions = {}): Promise<string> {
    return new Promise((resolve, reject) => caller.call(shard, Buffer.from(said), options, (error, answer) => (error ? reject(error) : resolve(answer.toString()))));
  }

  const refusal = (error: Promise<string>): Promise<CallError> => error.then(() => Promise.reject(new Error("answered")), (reason: CallError) => reason);

  it("waits for an owner, and is answered when there is one", async () => {
    const answer = call(1, "hello");
    await record(1, "a", 1);
    await new Promise((resolve) => setTimeout(resolve, 120)); // the record is there before anybody listens
    serve(1, 1, (said) => `re ${said}`);
    expect(await answer).toBe("re hello");
  });

  it("keeps the order of calls that wait, with those that come later behind them", async () => {
    await record(2, "a", 1);
    const answers = Array.from({ length: 50 }, (_, number) => call(2, String(number)));
    await until("nobody listens", () => true);
    await new Promise((resolve) => setTimeout(resolve, 80));
    answers.push(...Array.from({ length: 50 }, (_, number) => call(2, String(50 + number))));
    const heard = serve(2, 2, (said) => said);
    await bus.flush();
    await record(2, "b", 2);
    await Promise.all(answers);
    expect(heard).toEqual(Array.from({ length: 100 }, (_, number) => String(number)));
  });

  it("an owner that says fenced is asked again later, or the next one is", async () => {
    let fenced = true;
    const first = serve(3, 4, () => encodeAnswer(fenced ? { ok: false, code: "fenced", reason: "not sure" } : ({ ok: true } as never)).toString());
    await bus.flush();
    await record(3, "a", 4);
    const same = call(3, "x");
    await until("refused", () => first.length >= 2);
    fenced = false;
    expect(await same).toBe('{"ok":true}');
    fenced = true;
    const next = call(3, "y");
    await until("refused again", () => first.filter((said) => said === "y").length >= 1);
    serve(3, 5, () => '{"ok":true,"epoch":5}');
    await bus.flush();
    await record(3, "b", 5);
    expect(await next).toBe('{"ok":true,"epoch":5}');
  });

  it("any other refusal is the answer", async () => {
    serve(4, 1, () => '{"ok":false,"code":"busy","reason":"mailbox"}');
    await bus.flush();
    await record(4, "a", 1);
    expect(await call(4, "x")).toContain("busy");
  });

  it("a thousand calls that wait try the old epoch one at a time", async () => {
    await record(5, "a", 1);
    const heard = serve(5, 1, () => '{"ok":false,"code":"fenced","reason":"loading"}');
    await bus.flush();
    const answers = Array.from({ length: 1_000 }, () => call(5, "x"));
    // those that were sent before the first was refused, and then one every 50 ms
    await until("they were refused", () => heard.length >= 3);
    await new Promise((resolve) => setTimeout(resolve, 150));
    const before = heard.length;
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(heard.length - before).toBeLessThan(20);
    serve(5, 2, () => "done");
    await bus.flush();
    await record(5, "a", 2);
    expect(new Set(await Promise.all(answers))).toEqual(new Set(["done"]));
  });

  it("is unavailable when its patience ends, and timed out when the owner is silent", async () => {
    expect((await refusal(call(6, "x", { patienceMs: 100 }))).kind).toBe("unavailable");
    serve(7, 1, () => null);
    await bus.flush();
    await record(7, "a", 1);
    expect((await refusal(call(7, "x", { timeoutMs: 100 }))).kind).toBe("timeout");
  });

  it("one slow answer does not hold the others back", async () => {
    serve(8, 1, (said) => (said === "slow" ? null : said));
    const slow = call(8, "slow", { timeoutMs: 1_000 });
    const quick = call(8, "quick");
    await record(8, "a", 1);
    expect(await quick).toBe("quick");
    expect((await refusal(slow)).kind).toBe("timeout");
  });
});

describe("the layout", () => {
  it("is written once and compared ever after", async () => {
    expect(await ensureLayout(bus, { shards: 64, partitions: 2 })).toMatchObject({ shards: 64, partitions: 2 });
    expect(await ensureLayout(bus, { shards: 64, partitions: 2 })).toMatchObject({ shards: 64, partitions: 2 });
    await expect(ensureLayout(bus, { shards: 32, partitions: 2 })).rejects.toMatchObject({ code: "HAWSER_E_LAYOUT_MISMATCH" });
    await expect(ensureLayout(bus, { shards: 64, partitions: 3 })).rejects.toThrow("partitions 2, this process is configured for 3");
  });
});

describe("the board", () => {
  async function board(member: string, service = "router"): Promise<MemberBoard> {
    const made = new MemberBoard({ bus: await Bus.connect({ url: server.url, name: member }), member, service, ...TIMES });
    made.start();
    closers.push(() => made.stop());
    return made;
  }

  it("tells a changed version at once, not with the next heartbeat", async () => {
    const [a, b] = [await board("a"), await board("b")];
    await until("they know each other", () => b.members().some(({ member }) => member === "a"));
    a.setVersion("filters.3", 7);
    const tookMs = await until("b sees it", () => b.members().find(({ member }) => member === "a")?.versions["filters.3"] === 7);
    expect(tookMs).toBeLessThan(TIMES.heartbeatMs);
  });

  it("drops who says goodbye at once, and tells", async () => {
    const [a, b] = [await board("a1"), await board("b1", "ingress")];
    const dead: string[] = [];
    a.onDead((member) => dead.push(member));
    await until("they know each other", () => a.members("ingress").length === 1);
    b.stop();
    await until("b1 is gone", () => dead.includes("b1"));
    expect(a.isAlive("b1")).toBe(false);
    expect(a.members("ingress")).toEqual([]);
  });

  it("takes what is no heartbeat for noise", async () => {
    const a = await board("a2");
    await until("it hears itself", () => a.healthy());
    for (const noise of ["", "{", "null", "[]", '{"member":1}']) bus.publish(subjects.heartbeat, Buffer.from(noise));
    await bus.flush();
    a.setState("ready");
    await until("it goes on", () => a.members("router").some(({ member, state }) => member === "a2" && state === "ready"));
  });

  it("with nats-server stopped longer than deadMs finds itself unhealthy and nobody dead", async () => {
    const [a, b] = [await board("a3"), await board("b3")];
    const dead: string[] = [];
    a.onDead((member) => dead.push(member));
    b.onDead((member) => dead.push(member));
    await until("they know each other", () => a.members().some(({ member }) => member === "b3") && b.members().some(({ member }) => member === "a3"));
    await server.kill("SIGSTOP");
    await until("both are unhealthy", () => !a.healthy() && !b.healthy());
    await new Promise((resolve) => setTimeout(resolve, TIMES.deadMs));
    await server.kill("SIGCONT");
    await until("both hear themselves", () => a.healthy() && b.healthy());
    await new Promise((resolve) => setTimeout(resolve, TIMES.heartbeatMs * 3));
    expect(dead).toEqual([]);
    expect(a.isAlive("b3")).toBe(true);
  });
});
