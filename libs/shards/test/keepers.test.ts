import { Bus } from "@hawser/bus";
import { startNatsServer, type NatsServer } from "@hawser/testkit";
import { buckets, subjects } from "@hawser/wire";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { placeShards, ShardCaller, ShardDirectory } from "../src/index.ts";
import { ownedBy, Peer, SERVICE, SETTLE_MS, SHARDS, TIMES, until } from "./fleet.ts";

let server: NatsServer;
let peers: Peer[] = [];

beforeEach(async () => {
  server = await startNatsServer();
});

afterEach(async () => {
  await Promise.all(peers.map((peer) => peer.kill()));
  peers = [];
  await server.stop();
});

async function start(...names: string[]): Promise<Peer[]> {
  const started = await Promise.all(names.map((name) => Peer.start(server.url, name)));
  peers.push(...started);
  return started;
}

describe("claiming", () => {
  it("a single member has all 64 shards well under a second, each once", async () => {
    const [alone] = await start("a");
    const tookMs = await until("64 shards", () => alone!.keeper.owned().length === SHARDS);
    expect(tookMs).toBeLessThan(1_000);
    expect(alone!.events).toHaveLength(SHARDS);
    expect(alone!.epochs).toEqual(Array(SHARDS).fill(1));
    expect(alone!.keeper.covered).toBe(true);
  });

  it("a member that is not ready claims nothing", async () => {
    const joining = await Peer.start(server.url, "a", "joining");
    peers.push(joining);
    await until("its own heartbeat", () => joining.board.healthy());
    await joining.bus.flush();
    expect(joining.board.members(SERVICE)).toMatchObject([{ member: "a", state: "joining" }]);
    expect(joining.events).toEqual([]);
    joining.board.setState("ready");
    await until("64 shards", () => joining.keeper.owned().length === SHARDS);
  });

  it("two members that start together are balanced within 3 s, and three after that", async () => {
    const [a, b] = await start("a", "b");
    const placement = placeShards(SHARDS, ["a", "b"]);
    const balanced = (): boolean => ownedBy(a!, b!) === SHARDS && a!.keeper.owned().every((shard) => placement[shard] === "a");
    expect(await until("balance of two", balanced)).toBeLessThan(3_000);
    const [c] = await start("c");
    const third = placeShards(SHARDS, ["a", "b", "c"]);
    await until("balance of three", () => ownedBy(a!, b!, c!) === SHARDS && c!.keeper.owned().length === third.filter((member) => member === "c").length);
    expect(a!.released.every(({ reason }) => reason === "handover")).toBe(true);
  });

  it("a shard that cannot be opened is given back and opened later under a newer epoch", async () => {
    const alone = await Peer.start(server.url, "a", "joining");
    peers.push(alone);
    alone.failOpening.add(7);
    alone.board.setState("ready");
    await until("shard 7 at epoch 2", () => alone.keeper.epochOf(7) === 2);
    expect(alone.events.filter((event) => event.startsWith("acquire 7 "))).toEqual(["acquire 7 1", "acquire 7 2"]);
    expect(alone.released).toEqual([{ shard: 7, epoch: 1, reason: "handover" }]);
  });
});

describe("losing an owner", () => {
  it("a killed member's shards are taken over long before deadMs, under newer epochs", async () => {
    const [a, b, c] = await start("a", "b", "c");
    await until("balance", () => ownedBy(a!, b!, c!) === SHARDS && c!.keeper.owned().length > 15);
    const lost = c!.epochs;
    await c!.kill();
    const tookMs = await until("the others have everything", () => ownedBy(a!, b!) === SHARDS);
    // 2.5 heartbeats of silence and three questions nobody answers, 200 ms apart
    expect(tookMs).toBeLessThan(TIMES.deadMs + 1_000);
    for (let shard = 0; shard < SHARDS; shard++) {
      if (lost[shard]! > 0) expect(Math.max(a!.keeper.epochOf(shard), b!.keeper.epochOf(shard))).toBe(lost[shard]! + 1);
    }
  });

  it("records of a cluster that is gone name members nobody hears: they are taken over", async () => {
    const [a] = await start("a_boot1");
    await until("64 shards", () => a!.keeper.owned().length === SHARDS);
    await a!.kill();
    const [again] = await start("a_boot2");
    await until("64 shards again", () => again!.keeper.owned().length === SHARDS);
    expect(again!.epochs).toEqual(Array(SHARDS).fill(2));
  });

  it("who finds another owner in the record drops the shard and does not fight", async () => {
    const [a] = await start("a");
    await until("64 shards", () => a!.keeper.owned().length === SHARDS);
    const kv = a!.bus.kv(buckets.shards);
    const stored = (await kv.get(`${SERVICE}.3`))!;
    const [stranger] = [await Bus.connect({ url: server.url, name: "stranger" })];
    const beat = setInterval(() => stranger.publish(subjects.heartbeat, Buffer.from(JSON.stringify({ member: "x", service: SERVICE, state: "joining", versions: {}, sentAtMs: performance.now() }))), 50);
    await until("x is known", () => a!.board.members().some(({ member }) => member === "x"));
    await kv.update(`${SERVICE}.3`, Buffer.from(JSON.stringify({ version: 1, owner: "x", epoch: 9, state: "owned" })), stored.revision);
    await until("the shard is dropped", () => a!.released.length > 0);
    expect(a!.keeper.epochOf(3)).toBe(0);
    expect(a!.released).toEqual([{ shard: 3, epoch: 1, reason: "lost" }]);
    clearInterval(beat);
    await stranger.close();
    await until("and taken back when x is dead", () => a!.keeper.epochOf(3) === 10);
  });

  it("a bucket that was lost starts with newer epochs, not with 1", async () => {
    const [a] = await start("a");
    await until("64 shards", () => a!.keeper.owned().length === SHARDS);
    await a!.bus.jsm.streams.delete(`KV_${buckets.shards}`);
    await a!.bus.ensureKv(buckets.shards);
    await until("everything claimed again", () => a!.epochs.every((epoch) => epoch === 2));
  });
});

describe("drain", () => {
  it("hands everything over while calls go on: each is answered once, by the owner of its time", async () => {
    const [a, b] = await start("a", "b");
    await until("balance", () => ownedBy(a!, b!) === SHARDS && a!.keeper.owned().length > 20 && b!.keeper.owned().length > 20);
    const client = await Bus.connect({ url: server.url, name: "client" });
    const directory = new ShardDirectory({ bus: client, service: SERVICE });
    await directory.start();
    const caller = new ShardCaller({ bus: client, directory, subject: subjects.sessionOwner });
    const answers = new Map<number, { owner: string; epoch: number }[]>();
    const failures: string[] = [];
    let sent = 0;
    const pump = setInterval(() => {
      for (let shard = 0; shard < SHARDS; shard++) {
        const number = ++sent;
        caller.call(shard, Buffer.from(String(number)), {}, (error, answer) => {
          if (error) return failures.push(error.message);
          const { said, owner, epoch } = JSON.parse(answer.toString()) as { said: string; owner: string; epoch: number };
          answers.set(Number(said), [...(answers.get(Number(said)) ?? []), { owner, epoch }]);
        });
      }
    }, 10);
    await until("calls are answered", () => answers.size > 200);
    await a!.leave();
    await until("b has everything", () => b!.keeper.owned().length === SHARDS);
    const atSwitch = sent;
    await until("calls after the switch", () => sent > atSwitch + 200);
    clearInterval(pump);
    await until("every call is answered", () => answers.size === sent);
    expect(failures).toEqual([]);
    expect([...answers.values()].every((given) => given.length === 1)).toBe(true);
    expect(a!.released.filter(({ reason }) => reason === "drain").length).toBeGreaterThan(20);
    expect(a!.keeper.owned()).toEqual([]);
    // it said goodbye: nobody had to find it dead
    expect(b!.board.members(SERVICE).map(({ member }) => member)).toEqual(["b"]);
    directory.stop();
    await client.close();
  });

  it("with NATS away ends all the same", async () => {
    const [a] = await start("a");
    await until("64 shards", () => a!.keeper.owned().length === SHARDS);
    await server.kill();
    await until("the loss is noticed", () => !a!.bus.connected);
    await a!.keeper.drain();
    expect(a!.keeper.owned()).toEqual([]);
    expect(a!.released).toHaveLength(SHARDS);
  });
});

describe("nats-server away", () => {
  it("killed and restarted: nobody serves meanwhile, and the owners and epochs stay", async () => {
    const [a, b] = await start("a", "b");
    const placement = placeShards(SHARDS, ["a", "b"]);
    const balanced = (): boolean => ownedBy(a!, b!) === SHARDS && a!.keeper.owned().every((shard) => placement[shard] === "a") && b!.keeper.owned().every((shard) => placement[shard] === "b");
    await until("balance", balanced);
    const before = [a!.epochs, b!.epochs];
    const events = [a!.events.length, b!.events.length];
    await server.kill();
    await until("both notice", () => !a!.keeper.mayServe() && !b!.keeper.mayServe());
    await new Promise((resolve) => setTimeout(resolve, TIMES.deadMs + 200)); // longer than it takes to be found dead
    await server.restart();
    await until("both serve", () => a!.keeper.mayServe() && b!.keeper.mayServe());
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS + 200)); // whoever wrongly judged would act now
    expect([a!.epochs, b!.epochs]).toEqual(before);
    expect([a!.events.length, b!.events.length]).toEqual(events);
    expect([...a!.released, ...b!.released].filter(({ reason }) => reason !== "handover")).toEqual([]);
  });

  it("a process that was stopped does not serve before it has read its records again", async () => {
    const [a] = await start("a");
    await until("64 shards", () => a!.keeper.owned().length === SHARDS);
    expect(a!.keeper.mayServe()).toBe(true);
    const untilMs = performance.now() + TIMES.selfMs + 100;
    while (performance.now() < untilMs); // as SIGSTOP does: nothing runs
    expect(a!.keeper.mayServe()).toBe(false);
    await until("it serves again", () => a!.keeper.mayServe());
    expect(a!.epochs).toEqual(Array(SHARDS).fill(1));
  });
});
