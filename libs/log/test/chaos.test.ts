import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Bus } from "@hawser/bus";
import { startNatsServer, type NatsServer } from "@hawser/testkit";
import { RecordKind, streams, type LogRecord } from "@hawser/wire";
import { ensureLog, LogConsumer, LogWriter, trimLog } from "../src/index.ts";
import { until } from "./until.ts";

const seed = Number(process.env.HAWSER_TEST_SEED ?? Date.now() % 1_000_000);
let state = seed;
/** mulberry32 */
function random(below: number): number {
  state = (state + 0x6d2b79f5) | 0;
  let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
  return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
}

let server: NatsServer;
let bus: Bus;
let readerBus: Bus;

beforeAll(async () => {
  server = await startNatsServer();
  bus = await Bus.connect({ url: server.url, name: "writers" });
  readerBus = await Bus.connect({ url: server.url, name: "readers" });
  await ensureLog(bus, { partitions: 2, maxBytes: 256 * 1024 * 1024 });
});

afterAll(async () => {
  await Promise.all([bus.close(), readerBus.close()]);
  await server.stop();
});

const destinations = { instance: "default", rules: ["r"], inbox: true, actor: null };
const record = (text: string): LogRecord => ({ kind: RecordKind.publish, destinations, body: Buffer.from(text) });

describe(`under random deaths (HAWSER_TEST_SEED=${seed})`, () => {
  it("every record that was acknowledged passes every consumer's gate once and in its origin's order", async () => {
    console.log(`seed ${seed}`);
    const partitions = [0, 1];
    const origins = ["a", "b", "c"];
    const writers = origins.map((origin) => new LogWriter({ bus, origin, partitions: 2, maxEntryBytes: 2048, commitsInFlight: 2, giveUpMs: 30_000 }));
    const sent = new Map<string, number>();
    const acknowledged = new Map<string, number[]>();
    let open = 0;
    const publish = (): void => {
      for (let more = 1 + random(10); more > 0; more--) {
        const [writer, partition] = [random(origins.length), random(2)];
        const key = `${origins[writer]}.${partition}`;
        const number = (sent.get(key) ?? 0) + 1;
        sent.set(key, number);
        open++;
        writers[writer]!.append(partition, record(`${key}.${number}${"x".repeat(random(200))}`), (outcome) => {
          open--;
          if (outcome !== "stored") throw new Error(`${key}.${number}: ${outcome}`);
          acknowledged.set(key, [...(acknowledged.get(key) ?? []), number]);
        });
      }
    };
    const timer = setInterval(publish, 1);

    // one consumer per partition reads all the time, the other one's owner dies again and again
    type Seen = Map<string, number[]>;
    const note = (seen: Seen, text: string): void => {
      const [origin, partition, number] = text.split(/[.x]/);
      const key = `${origin}.${partition}`;
      seen.set(key, [...(seen.get(key) ?? []), Number(number)]);
    };
    const steady: Seen = new Map();
    const done: Seen = new Map();
    const readers: LogConsumer[] = [];
    const consume = async (name: string, partition: number, epoch: number, seen: Seen, crashes: boolean): Promise<LogConsumer> => {
      const run: Seen = new Map();
      let dead = false;
      const reader: LogConsumer = new LogConsumer({
        bus: readerBus,
        name,
        partition,
        epoch,
        isAlive: () => true,
        onFenced: () => (dead = true),
        onEntry: (entry, sequence) => {
          if (dead) return;
          for (const { body } of entry.records) note(run, body.toString());
          for (const numbers of run.values()) expect(numbers.every((number, at) => at === 0 || number === numbers[at - 1]! + 1)).toBe(true);
          const finish = (): void => {
            if (dead) return;
            for (const { body } of entry.records) note(seen, body.toString());
            reader.done(sequence);
          };
          if (crashes && random(3) === 0) setTimeout(finish, random(30));
          else finish();
        },
      });
      for (;;) {
        try {
          if (!(await reader.start())) throw new Error("fenced at its start");
          readers.push(reader);
          return reader;
        } catch (error) {
          if ((error as Error).message.startsWith("fenced")) throw error;
          await new Promise((resolve) => setTimeout(resolve, 50)); // NATS is away
        }
      }
    };
    for (const partition of partitions) await consume("steady", partition, 1, steady, false);

    let epoch = 0;
    const count = (seen: Map<string, number[]>): number => [...seen.values()].reduce((sum, numbers) => sum + numbers.length, 0);
    for (let death = 0; death < 6; death++) {
      epoch++;
      for (const partition of partitions) await consume("mortal", partition, epoch, done, true);
      const before = count(acknowledged);
      await until(() => count(acknowledged) > before + 100 + random(300));
      if (random(2) === 0) {
        await server.kill("SIGKILL");
        await server.restart();
      }
    }
    clearInterval(timer);
    await until(() => open === 0, 30_000);

    const everything = (key: string): number[] => Array.from({ length: sent.get(key)! }, (_, at) => at + 1);
    await until(() => count(steady) >= count(acknowledged), 30_000);
    await until(() => [...sent.keys()].every((key) => new Set(done.get(key)).size === sent.get(key)), 30_000);
    for (const key of sent.keys()) {
      expect(acknowledged.get(key)).toEqual(everything(key));
      expect(steady.get(key)).toEqual(everything(key));
    }

    // what all have done is trimmed, and a consumer that is new goes on with what comes then
    for (const reader of readers) await reader.stop();
    for (const partition of partitions) expect(await trimLog(bus, partition, ["steady", "mortal"])).toBeGreaterThan(0);
    const fresh: Seen = new Map();
    for (const partition of partitions) await consume("fresh", partition, 1, fresh, false);
    const last = new Map(sent);
    await until(() => {
      publish();
      return [...sent].every(([key, number]) => number > last.get(key)! + 3);
    });
    await until(() => open === 0);
    await until(() => [...sent].every(([key, number]) => fresh.get(key)?.at(-1) === number));
    for (const [key, numbers] of fresh) expect(numbers.slice(-3)).toEqual(everything(key).slice(-3));
    for (const partition of partitions) expect((await bus.jsm.streams.info(streams.log(partition))).state.first_seq).toBeGreaterThan(1);
    for (const reader of readers) await reader.stop();
    for (const writer of writers) writer.stop();
  }, 60_000);
});
