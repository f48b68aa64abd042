import { expect, it } from "vitest";
import { Bus } from "@hawser/bus";
import { startNatsServer } from "@hawser/testkit";
import { ActorHost, decodeActorRecord } from "../src/index.ts";
import { JournalBehaviour, numbersOf } from "./journal-behaviour.ts";
import { keyOf, until } from "./script-behaviour.ts";

const upTo = (count: number): number[] => Array.from({ length: count }, (_, at) => at + 1);

it("while NATS is killed in the middle of writes nothing leaves; afterwards everything does, once and in order", async () => {
  const server = await startNatsServer();
  const bus = await Bus.connect({ url: server.url, name: "away" });
  const kv = await bus.ensureKv("journal");
  const behaviour = new JournalBehaviour();
  const host = new ActorHost<{ numbers: number[] }, number, number>({ bus, bucket: "journal", behaviour, epochOf: () => 1, mayServe: () => true, mailboxLimit: 1_000 });
  await host.openShard(1, 1);
  const clients = Array.from({ length: 12 }, (_, at) => `c${at}`);
  let number = 0;
  const tellAll = (): void => {
    number++;
    for (const client of clients) expect(host.tell(keyOf(client, 1), number)).toBe("accepted");
  };
  const saidByAll = (): number => Math.min(...clients.map((client) => behaviour.said.get(client)?.length ?? 0));

  for (let round = 0; round < 3; round++) {
    for (let n = 0; n < 5; n++) {
      tellAll();
      await new Promise((resolve) => setImmediate(resolve));
    }
    await until(() => saidByAll() >= number - 3, "writes are under way");
    tellAll();
    await server.kill();
    tellAll();
    await until(() => !bus.connected, "away");
    const before = clients.map((client) => behaviour.said.get(client)!.length);
    for (let n = 0; n < 10; n++) {
      tellAll();
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(clients.map((client) => behaviour.said.get(client)!.length)).toEqual(before);
    await server.restart();
    await until(() => saidByAll() === number, "everything is said");
  }
  for (const client of clients) {
    expect(behaviour.said.get(client)).toEqual(upTo(number));
    const record = decodeActorRecord((await kv.get(`1.${keyOf(client, 1).token}`))!.value);
    expect(numbersOf(record.value)).toEqual(upTo(number));
  }
  host.stop();
  await bus.close();
  await server.stop();
});

it("an actor that is loaded while NATS is away is loaded when it is back", async () => {
  const server = await startNatsServer();
  const bus = await Bus.connect({ url: server.url, name: "away" });
  await bus.ensureKv("journal");
  const behaviour = new JournalBehaviour();
  let now = 0;
  const host = new ActorHost<{ numbers: number[] }, number, number>({
    bus, bucket: "journal", behaviour, epochOf: () => 1, mayServe: () => true, now: () => now, sweepMs: 5,
  });
  await host.openShard(1, 1);
  host.tell(keyOf("a", 1), 1);
  await until(() => behaviour.said.has("a"), "stored");
  now = 1_000_000;
  await until(() => host.active === 0, "passivated");
  await server.kill();
  await until(() => !bus.connected, "away");
  expect(host.tell(keyOf("a", 1), 2)).toBe("accepted");
  await server.restart();
  await until(() => behaviour.said.get("a")!.length === 2, "loaded");
  expect(host.peek(keyOf("a", 1))!.numbers).toEqual([1, 2]);
  host.stop();
  await bus.close();
  await server.stop();
});
