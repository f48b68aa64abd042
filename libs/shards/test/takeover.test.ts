/** Calls to owners while owners are killed and restarted, on a real nats-server. */
import { Bus, type BusError } from "@hawser/bus";
import { startNatsServer, type NatsServer } from "@hawser/testkit";
import { buckets, subjects } from "@hawser/wire";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type CallError, ShardCaller, ShardDirectory } from "../src/index.ts";
import { ownedBy, Peer, SERVICE, SHARDS, until } from "./fleet.ts";

let server: NatsServer;
let client: Bus;
let directory: ShardDirectory;
let peers: Peer[] = [];

beforeEach(async () => {
  server = await startNatsServer();
  client = await Bus.connect({ url: server.url, name: "client" });
  directory = new ShardDirectory({ bus: client, service: SERVICE });
  await directory.start();
});

afterEach(async () => {
  await Promise.all(peers.map((peer) => peer.kill()));
  peers = [];
  directory.stop();
  await client.close();
  await server.stop();
});

async function start(...names: string[]): Promise<Peer[]> {
  const started = await Promise.all(names.map((name) => Peer.start(server.url, name)));
  peers.push(...started);
  return started;
}

/** Resolves when the server has noticed: what was sent before may be in the dead one's hands. */
async function kill(peer: Peer): Promise<void> {
  await peer.kill();
  const kind = (): Promise<string> => client.request(subjects.ping(peer.board.member), Buffer.alloc(0), 500).then(() => "", (error: BusError) => error.kind);
  while ((await kind()) !== "no-responders");
}

/** Calls every shard again and again; notes what was answered, by which epoch, and what failed. */
class Pump {
  sent = 0;
  answered = 0;
  readonly failures: CallError[] = [];
  readonly said: number[][] = Array.from({ length: SHARDS }, () => []);
  readonly epochs: number[][] = Array.from({ length: SHARDS }, () => []);
  readonly #caller = new ShardCaller({ bus: client, directory, subject: subjects.sessionOwner });
  #timer: NodeJS.Timeout | undefined;

  constructor() {
    this.go();
  }

  go(): void {
    this.#timer = setInterval(() => this.round(), 10);
  }

  round(): void {
    for (let shard = 0; shard < SHARDS; shard++) {
      this.#caller.call(shard, Buffer.from(String(++this.sent)), {}, (error, answer) => {
        if (error) return void this.failures.push(error);
        this.answered++;
        const { said, epoch } = JSON.parse(answer.toString()) as { said: string; epoch: number };
        this.said[shard]!.push(Number(said));
        this.epochs[shard]!.push(epoch);
      });
    }
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await until("every call has ended", () => this.answered + this.failures.length === this.sent);
  }
}

const rises = (numbers: readonly number[]): boolean => numbers.every((number, at) => at === 0 || number >= numbers[at - 1]!);

describe("calls", () => {
  it("survive the death of an owner: none fails, each is answered once, under epochs that never fall", async () => {
    const [a, b] = await start("a", "b");
    await until("balance", () => ownedBy(a!, b!) === SHARDS && a!.keeper.owned().length > 20 && b!.keeper.owned().length > 20);
    const pump = new Pump();
    await until("calls are answered", () => pump.answered > 500);
    // what is in the hands of the owner when it dies is another matter, see below
    await pump.stop();
    const orphaned = a!.keeper.owned();
    await kill(a!);
    pump.go();
    pump.round();
    await until("b has everything", () => b!.keeper.owned().length === SHARDS);
    const atTakeover = pump.sent;
    await until("calls after it", () => pump.sent > atTakeover + 500);
    await pump.stop();
    expect(pump.failures).toEqual([]);
    expect(pump.answered).toBe(pump.sent);
    expect(new Set(pump.said.flat()).size).toBe(pump.sent);
    expect(pump.epochs.filter((epochs) => !rises(epochs))).toEqual([]);
    for (const shard of orphaned) expect(pump.epochs[shard]!.at(-1)).toBeGreaterThan(pump.epochs[shard]![0]!);
  });

  it("that an owner has taken and died with may have been done: they time out, also when there is a new owner", async () => {
    const [a] = await start("a");
    await until("64 shards", () => a!.keeper.owned().length === SHARDS);
    const caller = new ShardCaller({ bus: client, directory, subject: subjects.sessionOwner });
    const call = (said: string, timeoutMs: number): Promise<string> =>
      new Promise((resolve) => caller.call(5, Buffer.from(said), { timeoutMs }, (error, answer) => resolve(error ? error.kind : answer.toString())));
    a!.answers = false;
    const taken = call("taken", 2_500);
    await until("a has it", () => a!.heard.includes("taken"));
    const [b] = await start("b");
    await kill(a!);
    const later = call("later", 2_500);
    expect(await later).toContain('"owner":"b"');
    expect(await taken).toBe("timeout");
    expect(b!.heard).toEqual(["later"]);
  });

  it("that come when the next owner begins to listen do not overtake those that found nobody there yet", async () => {
    const caller = new ShardCaller({ bus: client, directory, subject: subjects.sessionOwner });
    const answers: Promise<void>[] = [];
    const call = (number: number): void =>
      void answers.push(new Promise((resolve, reject) => caller.call(9, Buffer.from(String(number)), {}, (error) => (error ? reject(error) : resolve()))));
    for (let number = 0; number < 10; number++) call(number);
    const heard: number[] = [];
    // the record is there before the owner listens
    directory.onChange(() => {
      client.subscribe(subjects.sessionOwner(9, 1), (message) => {
        heard.push(Number(message.data.toString()));
        message.respond(Buffer.from("{}"));
      });
      call(10);
    });
    await client.kv(buckets.shards).create(`${SERVICE}.9`, Buffer.from(JSON.stringify({ version: 1, owner: "x", epoch: 1, state: "owned" })));
    await until("all are answered", () => heard.length >= 11);
    await Promise.all(answers);
    expect(heard).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });

  it("survive a restart of nats-server: all are answered by the same owners", async () => {
    const [a] = await start("a");
    await until("64 shards", () => a!.keeper.owned().length === SHARDS);
    const pump = new Pump();
    await until("calls are answered", () => pump.answered > 500);
    await server.kill();
    await until("the loss is noticed", () => !client.connected && !a!.keeper.mayServe());
    pump.round();
    await server.restart();
    const atRestart = pump.answered;
    await until("calls after it", () => pump.answered > atRestart + 500);
    await pump.stop();
    expect(pump.failures).toEqual([]);
    expect(new Set(pump.epochs.flat())).toEqual(new Set([1]));
  });
});

describe("a drain", () => {
  it("that is asked for twice is one drain", async () => {
    const [a, b] = await start("a", "b");
    await until("balance", () => ownedBy(a!, b!) === SHARDS && a!.keeper.owned().length > 20);
    await Promise.all([a!.keeper.drain(), a!.keeper.drain()]);
    expect(a!.keeper.owned()).toEqual([]);
    expect(a!.keeper.mayServe()).toBe(false);
    await until("b has everything", () => b!.keeper.owned().length === SHARDS);
  });

  it("whose shards cannot be closed is given up, and leaves no timer behind", async () => {
    const [a] = await start("a");
    await until("64 shards", () => a!.keeper.owned().length === SHARDS);
    a!.neverCloses = true;
    const timers = new Set<unknown>();
    const [set, clear] = [globalThis.setInterval, globalThis.clearInterval];
    globalThis.setInterval = ((run: () => void, ms: number) => {
      const timer = set(run, ms);
      timers.add(timer);
      return timer;
    }) as typeof setInterval;
    globalThis.clearInterval = ((timer: NodeJS.Timeout) => {
      timers.delete(timer);
      clear(timer);
    }) as typeof clearInterval;
    try {
      const draining = a!.keeper.drain(300);
      expect(timers.size).toBeGreaterThan(0);
      await draining;
      expect(timers.size).toBe(0);
    } finally {
      [globalThis.setInterval, globalThis.clearInterval] = [set, clear];
    }
    expect(a!.keeper.mayServe()).toBe(false);
  });
});
