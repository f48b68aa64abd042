/**
 * Random messages, owner changes, stale owners, crashes and failures against one rule: what was said
 * is stored, once, in order. fast-check prints the seed of a failure.
 */
import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Bus } from "@hawser/bus";
import { startNatsServer, type NatsServer } from "@hawser/testkit";
import { ActorHost, decodeActorRecord, type ActorKey } from "../src/index.ts";
import { JournalBehaviour, numbersOf } from "./journal-behaviour.ts";
import { keyOf } from "./script-behaviour.ts";

type Step =
  | { readonly kind: "tell" | "fail"; readonly client: string; readonly stale: boolean }
  | { readonly kind: "tick" | "owner" | "crash" | "reopen" | "flush" };

class Owner {
  readonly behaviour = new JournalBehaviour();
  readonly host: ActorHost<{ numbers: number[] }, number, number>;

  constructor(bus: Bus, readEpoch: () => number) {
    this.host = new ActorHost({ bus, bucket: "journal", behaviour: this.behaviour, epochOf: readEpoch, mayServe: () => true });
  }
}

const clients = ["a", "b", "c"];
const message = fc.record({ kind: fc.constantFrom("tell", "tell", "tell", "tell", "fail"), client: fc.constantFrom(...clients), stale: fc.constantFrom(false, false, true) }) as fc.Arbitrary<Step>;
const event = fc.record({ kind: fc.constantFrom("tick", "owner", "crash", "reopen", "flush") }) as fc.Arbitrary<Step>;
const steps = fc.array(fc.oneof({ weight: 4, arbitrary: message }, { weight: 1, arbitrary: event }), { maxLength: 60 });

let server: NatsServer;
let bus: Bus;
let shard = 0;

beforeAll(async () => {
  server = await startNatsServer();
  bus = await Bus.connect({ url: server.url, name: "journal" });
  await bus.ensureKv("journal");
});

afterAll(async () => {
  await bus.close();
  await server.stop();
});

it("whatever the owners do, what an actor has said is stored once and in order", async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (all) => {
      shard++;
      const keys = new Map<string, ActorKey>(clients.map((client) => [client, keyOf(client, shard)]));
      let epoch = 0;
      let number = 0;
      const owners: Owner[] = [];
      const open = async (): Promise<Owner> => {
        const mine = ++epoch;
        const owner = new Owner(bus, () => mine);
        await owner.host.openShard(shard, mine);
        if (mine % 2 === 0) await owner.host.loadAll(shard);
        owners.push(owner);
        return owner;
      };
      let current = await open();
      let before = current;
      for (const step of all) {
        if (step.kind === "tell" || step.kind === "fail") {
          const owner = step.stale ? before : current;
          owner.host.tell(keys.get(step.client)!, step.kind === "fail" ? -1 : ++number);
        } else if (step.kind === "tick") await new Promise((resolve) => setImmediate(resolve));
        else if (step.kind === "flush") await bus.flush();
        else if (step.kind === "reopen") {
          // passivation of everybody, by its owner
          await current.host.closeShard(shard);
          await current.host.openShard(shard, epoch);
        } else {
          // the owner of before goes on not knowing, or dies with everything in hand
          before = current;
          if (step.kind === "crash") current.host.stop();
          current = await open();
        }
      }
      await Promise.all(owners.map(({ host }) => host.closeShard(shard)));
      for (const [client, key] of keys) {
        const entry = await bus.kv("journal").get(`${shard}.${key.token}`);
        const stored = entry ? numbersOf(decodeActorRecord(entry.value).value) : [];
        const said = owners.flatMap(({ behaviour }) => behaviour.said.get(client) ?? []);
        expect(stored, `${client}: each once`).toEqual([...new Set(stored)]);
        expect(said.filter((one) => !stored.includes(one)), `${client}: said and not stored`).toEqual([]);
        expect(said, `${client}: each said once`).toHaveLength(new Set(said).size);
        for (const { behaviour } of owners) {
          const own = behaviour.said.get(client) ?? [];
          expect(own, `${client}: said in order`).toEqual(own.toSorted((one, other) => one - other));
          expect(stored.filter((one) => own.includes(one)), `${client}: stored in order`).toEqual(own);
        }
      }
      for (const { host } of owners) host.stop();
    }),
    { numRuns: 80 },
  );
});

it("without faults every message is said", async () => {
  shard++;
  const owner = new Owner(bus, () => 1);
  await owner.host.openShard(shard, 1);
  for (let number = 1; number <= 200; number++) {
    expect(owner.host.tell(keyOf(clients[number % 3]!, shard), number)).toBe("accepted");
    if (number % 7 === 0) await bus.flush();
  }
  await owner.host.closeShard(shard);
  const said = [...owner.behaviour.said.values()].flat().toSorted((one, other) => one - other);
  expect(said).toEqual(Array.from({ length: 200 }, (_, at) => at + 1));
  owner.host.stop();
});
