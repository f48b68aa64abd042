import { encodeEnvelope, OWN_PARTITION, type InboxEntry, type Qos, type StoredSubscription } from "@hawser/wire";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeCheckpoint, ShardInbox, type InboxLimits, type OutgoingDelivery, type SessionQueue } from "../src/index.ts";

const limits: InboxLimits = { maxMessages: 1000, maxAgeMs: 60_000, windowMessages: 4, cacheBytes: 1 << 20 };
const NOW = 1_000_000;

function envelope(topic: string, over: { qos?: Qos; sender?: string; target?: string; retain?: boolean; payload?: string; atMs?: number } = {}): Buffer {
  return encodeEnvelope({
    origin: "ingress-0_x",
    sequence: 1,
    publishedAtMs: over.atMs ?? NOW,
    qos: over.qos ?? 1,
    retain: over.retain ?? false,
    sender: over.sender ?? "GID@@@sender",
    persistent: false,
    topic,
    target: over.target ?? null,
    trace: null,
    properties: null,
    payload: Buffer.from(over.payload ?? topic),
  });
}

function entry(logSequence: number, ...envelopes: Buffer[]): InboxEntry {
  return { partition: 0, logSequence, messages: envelopes.map((each) => ({ instance: "default", envelope: each })) };
}

function subscription(filter: string, over: Partial<StoredSubscription> = {}): StoredSubscription {
  return { filter, qos: 1, noLocal: false, retainAsPublished: false, identifier: 0, ...over };
}

function inbox(over: Partial<InboxLimits> = {}): ShardInbox {
  const shard = new ShardInbox({ ...limits, ...over });
  shard.checkpointSafe(shard.checkpoint(1).reservedPosition);
  return shard;
}

function session(shard: ShardInbox, clientId: string, ...subscriptions: StoredSubscription[]): SessionQueue {
  const queue = shard.open({ instance: "default", clientId, token: `t-${clientId}`, bornEpoch: 1, bornCounter: 1 });
  for (const each of subscriptions) shard.subscribe(queue, each);
  return queue;
}

const receiver = (connection: number) => ({ ingress: "ingress-0_x", connection, sequence: `1.${connection}` });
const never = (): void => {
  throw new Error("nothing is to be loaded");
};
const texts = (deliveries: OutgoingDelivery[]): string[] => deliveries.map((each) => each.envelope.toString().slice(-3));
const positions = (deliveries: OutgoingDelivery[]): number[] => deliveries.flatMap((each) => each.receivers.map(({ position }) => position));

describe("matching", () => {
  it("overlapping filters deliver once, at the highest QoS, with every identifier", () => {
    const shard = inbox();
    const queue = session(shard, "a", subscription("x/#", { qos: 0, identifier: 3 }), subscription("x/+", { qos: 2, identifier: 7 }), subscription("x/y"));
    shard.attach(queue, receiver(1));
    shard.take(entry(1, envelope("x/y", { qos: 2 })), 1);
    const [only, ...rest] = shard.collect(never);
    expect(rest).toEqual([]);
    expect(only!.receivers).toHaveLength(1);
    expect(only!.receivers[0]).toMatchObject({ qos: 2, redelivery: false });
    expect([...only!.receivers[0]!.identifiers].sort()).toEqual([3, 7]);
  });

  it("the effective QoS is the lower one, and QoS 0 does not wait", () => {
    const shard = inbox();
    const queue = session(shard, "a", subscription("x", { qos: 1 }), subscription("y", { qos: 0 }));
    shard.attach(queue, receiver(1));
    shard.take(entry(1, envelope("x", { qos: 2 }), envelope("y", { qos: 2 }), envelope("x", { qos: 0 })), 1);
    const deliveries = shard.collect(never);
    expect(deliveries.map(({ receivers }) => receivers[0]!.qos)).toEqual([1]);
    expect(shard.size).toBe(1);
  });

  it("no local keeps a sender's own messages away, retain is kept only when asked for", () => {
    const shard = inbox();
    const own = session(shard, "a", subscription("x", { noLocal: true }));
    const other = session(shard, "b", subscription("x", { retainAsPublished: true }));
    shard.take(entry(1, envelope("x", { sender: "a", retain: true })), 1);
    expect([own.length, other.length]).toEqual([0, 1]);
    shard.attach(other, receiver(2));
    expect(shard.collect(never)[0]!.receivers[0]!.retain).toBe(true);
  });

  it("a P2P message waits for its target alone, whatever it subscribed to", () => {
    const shard = inbox();
    const target = session(shard, "a");
    const other = session(shard, "b", subscription("#"));
    shard.take({ partition: OWN_PARTITION, logSequence: 0, messages: [{ instance: "default", envelope: envelope("p/p2p/a", { target: "a" }) }] }, 1);
    expect([target.length, other.length]).toEqual([1, 0]);
  });

  it("instances do not see each other", () => {
    const shard = inbox();
    const queue = session(shard, "a", subscription("#"));
    shard.take({ partition: 0, logSequence: 1, messages: [{ instance: "other", envelope: envelope("x") }] }, 1);
    expect(queue.length).toBe(0);
  });

  it("an append that was done twice is taken once", () => {
    const shard = inbox();
    const queue = session(shard, "a", subscription("x"));
    shard.take(entry(5, envelope("x")), 1);
    shard.take(entry(5, envelope("x")), 2);
    shard.take({ ...entry(5, envelope("x")), partition: 1 }, 3);
    expect(queue.length).toBe(2);
    expect(shard.stats.duplicates).toBe(1);
  });
});

describe("delivery", () => {
  it("a message that cannot be read takes no other of its entry with it", () => {
    const shard = inbox();
    const queue = session(shard, "a", subscription("#"));
    shard.attach(queue, receiver(1));
    shard.take(entry(1, envelope("one"), Buffer.from([255]), envelope("two")), 1);
    expect(texts(shard.collect(never))).toEqual(["one", "two"]);
    expect(shard.stats.unreadable).toBe(1);
    expect(decodeCheckpoint(shard.checkpoint(1).record).sessions[0]!.pending).toHaveLength(2);
  });

  it("a window bounds what is on its way, acknowledgements in any order move it on", () => {
    const shard = inbox();
    const queue = session(shard, "a", subscription("#"));
    shard.attach(queue, receiver(1));
    shard.take(entry(1, ...[..."abcdefg"].map((name) => envelope(name))), 1);
    const first = positions(shard.collect(never));
    expect(first).toHaveLength(4);
    expect(shard.collect(never)).toEqual([]);
    shard.acknowledge(queue, [first[2]!, first[0]!]);
    expect(positions(shard.collect(never))).toEqual([first[3]! + 1, first[3]! + 2]);
    expect(shard.acknowledge(queue, [first[0]!])).toBe(0);
  });

  it("a new connection gets everything unacknowledged again, in order, marked", () => {
    const shard = inbox();
    const queue = session(shard, "a", subscription("#"));
    shard.attach(queue, receiver(1));
    shard.take(entry(1, envelope("a"), envelope("b"), envelope("c")), 1);
    const first = positions(shard.collect(never));
    shard.acknowledge(queue, [first[1]!]);
    shard.detach(queue);
    shard.take(entry(2, envelope("d")), 2);
    expect(shard.collect(never)).toEqual([]);
    shard.attach(queue, receiver(2));
    const again = shard.collect(never).flatMap((each) => each.receivers);
    expect(again.map(({ position, redelivery, connection }) => [position, redelivery, connection])).toEqual([
      [first[0], true, 2],
      [first[2], true, 2],
      [first[2]! + 1, false, 2],
    ]);
  });

  it("receivers on one ingress share one delivery", () => {
    const shard = inbox();
    for (const name of ["a", "b", "c"]) shard.attach(session(shard, name, subscription("x")), receiver(name.charCodeAt(0)));
    shard.take(entry(1, envelope("x")), 1);
    const deliveries = shard.collect(never);
    expect(deliveries).toHaveLength(1);
    expect(deliveries[0]!.receivers).toHaveLength(3);
  });

  it("a delivery names at most 1,000 receivers", () => {
    const shard = inbox();
    for (let at = 0; at < 2500; at++) shard.attach(session(shard, `c${at}`, subscription("x")), receiver(at));
    shard.take(entry(1, envelope("x")), 1);
    const deliveries = shard.collect(never);
    expect(deliveries.map(({ receivers }) => receivers.length)).toEqual([1000, 1000, 500]);
    expect(new Set(deliveries.flatMap(({ receivers }) => receivers.map(({ connection }) => connection))).size).toBe(2500);
  });

  it("beyond the count the oldest is dropped and counted, beyond the age too", () => {
    const shard = inbox({ maxMessages: 2 });
    const queue = session(shard, "a", subscription("#"));
    shard.take(entry(1, envelope("a", { atMs: NOW - 70_000 }), envelope("b"), envelope("c", { atMs: NOW - 70_000 })), 1);
    expect(shard.stats.droppedFull).toBe(1);
    shard.expire(NOW);
    expect(shard.stats.droppedAge).toBe(0);
    shard.acknowledge(queue, [2]);
    shard.expire(NOW);
    expect([queue.length, shard.stats.droppedAge, shard.stats.queued]).toEqual([0, 1, 0]);
  });

  it("envelopes that left memory are read again before their turn, and order holds", () => {
    const shard = inbox({ cacheBytes: 1 });
    const entries = [1, 2, 3].map((at) => entry(at, envelope(`${at}/x`), envelope(`${at}/y`)));
    const queue = session(shard, "a", subscription("#"));
    entries.forEach((each, at) => shard.take(each, at + 1));
    shard.attach(queue, receiver(1));
    const asked: number[] = [];
    expect(shard.collect((sequence) => void asked.push(sequence))).toEqual([]);
    expect(asked).toEqual([1, 2]);
    shard.loaded(1, entries[0]!);
    expect(texts(shard.collect((sequence) => void asked.push(sequence)))).toEqual(["1/x", "1/y"]);
    shard.loaded(2, null);
    expect(shard.collect((sequence) => void asked.push(sequence))).toEqual([]);
    expect(asked).toEqual([1, 2, 3]);
    shard.loaded(3, entries[2]!);
    expect(texts(shard.collect(never))).toEqual(["3/x", "3/y"]);
    expect(shard.stats.droppedLost).toBe(2);
  });
});

describe("checkpoint", () => {
  it("positions are never given out twice, and reading stops before they run out", () => {
    const shard = new ShardInbox(limits);
    expect(shard.canTake(1)).toBe(false);
    const first = shard.checkpoint(1);
    shard.checkpointSafe(first.reservedPosition);
    expect(shard.canTake(65_535)).toBe(true);
    session(shard, "a", subscription("#"));
    shard.take(entry(1, envelope("x")), 1);
    const next = new ShardInbox(limits);
    const queue = session(next, "a", subscription("#"));
    next.restore(decodeCheckpoint(first.record));
    next.take(entry(1, envelope("x")), 1);
    next.attach(queue, receiver(1));
    expect(positions(next.collect(never))[0]).toBeGreaterThanOrEqual(first.reservedPosition);
  });

  it("a session that was born anew does not get what waited for the one before", () => {
    const shard = inbox();
    session(shard, "a", subscription("#"));
    shard.take(entry(1, envelope("x")), 1);
    const { record } = shard.checkpoint(1);
    const next = inbox();
    const queue = next.open({ instance: "default", clientId: "a", token: "t-a", bornEpoch: 1, bornCounter: 2 });
    next.restore(decodeCheckpoint(record));
    expect(queue.length).toBe(0);
    expect(next.trimSequence).toBe(2);
  });

  it("the trim point is the oldest entry somebody wants", () => {
    const shard = inbox();
    const queue = session(shard, "a", subscription("x"));
    shard.take(entry(1, envelope("y")), 11);
    expect(shard.trimSequence).toBe(12);
    shard.take(entry(2, envelope("x")), 12);
    shard.take(entry(3, envelope("x")), 14);
    expect(shard.trimSequence).toBe(12);
    shard.acknowledge(queue, [1]);
    expect(shard.trimSequence).toBe(14);
    shard.close(queue);
    expect(shard.trimSequence).toBe(15);
    expect(shard.subscriptions.filters()).toEqual([]);
  });

  it("whatever happens and wherever it is cut, a session gets every message it has not acknowledged, in order", () => {
    const clients = ["a", "b", "c"];
    const step = fc.oneof(
      { weight: 5, arbitrary: fc.record({ kind: fc.constant("take" as const), topics: fc.array(fc.constantFrom(...clients, "all"), { minLength: 1, maxLength: 3 }) }) },
      { weight: 4, arbitrary: fc.record({ kind: fc.constant("work" as const), client: fc.constantFrom(...clients), acknowledge: fc.integer({ min: 0, max: 5 }) }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom("connect" as const, "leave" as const), client: fc.constantFrom(...clients) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom("checkpoint" as const, "crash" as const) }) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const stream: InboxEntry[] = [];
        let [shard, connection, serial] = [inbox({ cacheBytes: 300 }), 0, 0];
        let record = shard.checkpoint(1).record;
        const wanted = new Map(clients.map((client) => [client, [] as string[]]));
        const acknowledged = new Map(clients.map((client) => [client, new Set<string>()]));
        const seen = new Map(clients.map((client) => [client, [] as string[]]));
        const open = (into: ShardInbox): Map<string, SessionQueue> => new Map(clients.map((client) => [client, session(into, client, subscription("all/#"), subscription(`${client}/#`))]));
        let queues = open(shard);
        const pump = (): { client: string; position: number; text: string }[] => {
          const got: { client: string; position: number; text: string }[] = [];
          for (;;) {
            const loads: number[] = [];
            const deliveries = shard.collect((sequence) => void loads.push(sequence));
            for (const { receivers, envelope: bytes } of deliveries) {
              const text = bytes.toString().match(/#(\d+)#/)![1]!;
              for (const each of receivers) got.push({ client: clients[each.connection % 3]!, position: each.position, text });
            }
            for (const sequence of loads) {
              shard.loaded(sequence, stream[sequence - 1] ?? null);
              // as the service does: at once
              for (const { receivers, envelope: bytes } of shard.collect((more) => void loads.push(more))) {
                const text = bytes.toString().match(/#(\d+)#/)![1]!;
                for (const each of receivers) got.push({ client: clients[each.connection % 3]!, position: each.position, text });
              }
            }
            if (deliveries.length === 0 && loads.length === 0) break;
          }
          for (const { client, text } of got) seen.get(client)!.push(text);
          return got;
        };
        const attach = (client: string): void => {
          connection += 3;
          shard.attach(queues.get(client)!, receiver(connection - (connection % 3) + clients.indexOf(client)));
          seen.set(client, []);
        };
        for (const each of steps) {
          if (each.kind === "take") {
            const made = entry(
              stream.length + 1,
              ...each.topics.map((name) => {
                const text = String(++serial);
                for (const client of name === "all" ? clients : [name]) wanted.get(client)!.push(text);
                return envelope(`${name}/x`, { payload: `#${text}#` });
              }),
            );
            stream.push(made);
            shard.take(made, stream.length);
          } else if (each.kind === "work") {
            const got = pump();
            for (const { client, position, text } of got.filter((one) => one.client === each.client).slice(0, each.acknowledge)) {
              shard.acknowledge(queues.get(client)!, [position]);
              acknowledged.get(client)!.add(text);
            }
          } else if (each.kind === "connect") attach(each.client);
          else if (each.kind === "leave") shard.detach(queues.get(each.client)!);
          else if (each.kind === "checkpoint") {
            const made = shard.checkpoint(1);
            shard.checkpointSafe(made.reservedPosition);
            record = made.record;
          } else {
            shard = inbox({ cacheBytes: 300 });
            queues = open(shard);
            const checkpoint = decodeCheckpoint(record);
            shard.restore(checkpoint);
            for (let at = checkpoint.readSequence; at < stream.length; at++) shard.take(stream[at]!, at + 1);
          }
        }
        for (const client of clients) attach(client);
        for (let more = true; more; ) {
          const got = pump();
          more = got.length > 0;
          for (const { client, position } of got) shard.acknowledge(queues.get(client)!, [position]);
        }
        for (const client of clients) {
          const last = seen.get(client)!;
          expect([...last].sort((a, b) => Number(a) - Number(b))).toEqual(last);
          expect(new Set(last).size).toBe(last.length);
          for (const text of wanted.get(client)!) expect(last.includes(text) || acknowledged.get(client)!.has(text)).toBe(true);
          for (const text of last) expect(wanted.get(client)).toContain(text);
        }
        expect(shard.size).toBe(0);
        expect(shard.trimSequence).toBe(stream.length + 1);
      }),
      { numRuns: 200 },
    );
  });
});
