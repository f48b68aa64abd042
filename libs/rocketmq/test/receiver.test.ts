import { type RocketMqAddresses, startRocketMq } from "@hawser/testkit";
import { afterAll, beforeAll, describe, it } from "vitest";
import { type ReceivedMessage, type ReceiverEvent, type ReceiverOptions, RocketMqAdmin, RocketMqReceiver, RocketMqSender } from "../src/index.ts";

let server: RocketMqAddresses;
let admin: RocketMqAdmin;
const run = Date.now().toString(36);
/** The tests run side by side: what they leave open ends after the last. */
const open: (() => unknown)[] = [];

beforeAll(async () => {
  server = await startRocketMq();
  admin = await RocketMqAdmin.connect(server.broker);
});
afterAll(async () => {
  await Promise.all(open.map((close) => close()));
  admin.close();
});

function sender(): RocketMqSender {
  const made = new RocketMqSender({ endpoints: server.endpoint });
  open.push(() => made.close());
  return made;
}

function send(to: RocketMqSender, topic: string, bodies: readonly string[], group = ""): Promise<void> {
  let left = bodies.length;
  return new Promise((resolve, reject) => {
    for (const body of bodies) {
      to.send({ topic, body: Buffer.from(body), properties: [], tag: body.slice(0, 1), keys: [], group }, ({ kind }) => {
        if (kind !== "sent") reject(new Error(kind));
        if (--left === 0) resolve();
      });
    }
  });
}

function receiver(options: Pick<ReceiverOptions, "topic" | "consumerGroup" | "onMessages"> & Partial<ReceiverOptions>): RocketMqReceiver {
  const made = new RocketMqReceiver({ endpoints: server.endpoint, ...options });
  open.push(() => made.stop(100));
  return made;
}

describe.concurrent("the receiver", () => {
  it("hands over what was sent, once, when everything is settled", async ({ expect }) => {
    const [topic, consumerGroup] = [`r1-${run}`, `g1-${run}`];
    await admin.topic(topic);
    await admin.group(consumerGroup);
    let acked = 0;
    const seen: string[] = [];
    const first = receiver({
      topic,
      consumerGroup,
      onAcked: (messages) => (acked += messages),
      onMessages: (batch, settle) => {
        seen.push(...batch.map(({ body }) => body.toString()));
        // some at once, some later, out of order
        batch.forEach((_, index) => (index % 3 === 0 ? settle(index, true) : setTimeout(settle, 5 * (index % 4), index, true)));
      },
    });
    const bodies = Array.from({ length: 500 }, (_, n) => `m${n}`);
    await send(sender(), topic, bodies);
    await expect.poll(() => acked, { timeout: 10_000 }).toBe(500);
    expect([...seen].sort()).toEqual([...bodies].sort());
    await first.stop();
    expect(first.open).toBe(0);
  });

  it("lets a message that failed come again, the others not", async ({ expect }) => {
    const [topic, consumerGroup] = [`r2-${run}`, `g2-${run}`];
    await admin.topic(topic);
    await admin.group(consumerGroup);
    const seen: ReceivedMessage[] = [];
    receiver({
      topic,
      consumerGroup,
      invisibleMs: 10_000,
      onMessages: (batch, settle) =>
        batch.forEach((message, index) => {
          seen.push(message);
          settle(index, message.body.toString() !== "bad" || message.deliveryAttempt > 1);
        }),
    });
    await send(sender(), topic, ["a", "bad", "c"]);
    await expect.poll(() => seen.length, { timeout: 25_000, interval: 100 }).toBe(4);
    expect(seen.map(({ body }) => body.toString()).sort()).toEqual(["a", "bad", "bad", "c"]);
    expect(seen[3]).toMatchObject({ deliveryAttempt: 2 });
    expect(seen[3]!.body.toString()).toBe("bad");
  }, 30_000);

  it("hands the messages of a FIFO group over one by one, other groups meanwhile", async ({ expect }) => {
    const [topic, consumerGroup] = [`r3-${run}`, `g3-${run}`];
    await admin.topic(topic, "FIFO");
    await admin.group(consumerGroup, { fifo: true });
    const to = sender();
    await Promise.all(["x", "y"].map((group) => send(to, topic, Array.from({ length: 20 }, (_, n) => `${group}${n}`), group)));
    const seen: string[] = [];
    const openOf = new Map<string, number>();
    let most = 0;
    let together = 0;
    receiver({
      topic,
      consumerGroup,
      onMessages: (batch, settle) =>
        batch.forEach(({ group, body }, index) => {
          seen.push(body.toString());
          openOf.set(group, (openOf.get(group) ?? 0) + 1);
          most = Math.max(most, openOf.get(group)!);
          together = Math.max(together, [...openOf.values()].filter((open) => open > 0).length);
          setTimeout(() => {
            openOf.set(group, openOf.get(group)! - 1);
            settle(index, true);
          }, 3);
        }),
    });
    await expect.poll(() => seen.length, { timeout: 10_000 }).toBe(40);
    for (const group of ["x", "y"]) {
      expect(seen.filter((body) => body.startsWith(group))).toEqual(Array.from({ length: 20 }, (_, n) => `${group}${n}`));
    }
    expect(most).toBe(1);
    expect(together).toBe(2);
  });

  it("hands a FIFO group over whole to who keeps its order; one that failed comes again with all after it", async ({ expect }) => {
    const [topic, consumerGroup] = [`r7-${run}`, `g7-${run}`];
    await admin.topic(topic, "FIFO", 1);
    await admin.group(consumerGroup, { fifo: true });
    const bodies = Array.from({ length: 8 }, (_, n) => `${n}`);
    await send(sender(), topic, bodies, "x");
    const handed: string[][] = [];
    const settled: string[] = [];
    let failed = false;
    receiver({
      topic,
      consumerGroup,
      wholeGroups: true,
      invisibleMs: 10_000,
      onMessages: (batch, settle, ordered) => {
        if (ordered) handed.push(batch.map(({ body }) => body.toString()));
        // the last first: what is done before one that fails is done, what is after it is not
        for (let index = batch.length - 1; index >= 0; index--) {
          const ok = failed || batch[index]!.body.toString() !== "3";
          failed ||= !ok;
          settle(index, ok);
          if (ok) settled.push(batch[index]!.body.toString());
        }
      },
    });
    await expect.poll(() => settled.filter((body) => body === "7").length, { timeout: 25_000, interval: 100 }).toBe(2);
    const again = handed.findIndex((batch, at) => at > 0 && batch[0] === "3");
    expect(handed.slice(0, again).flat()).toEqual(bodies);
    expect(handed.slice(again).flat()).toEqual(bodies.slice(3));
    expect(Math.max(...handed.map(({ length }) => length))).toBeGreaterThan(1);
  }, 30_000);

  it("filters by tag", async ({ expect }) => {
    const [topic, consumerGroup] = [`r4-${run}`, `g4-${run}`];
    await admin.topic(topic);
    await admin.group(consumerGroup);
    const seen: string[] = [];
    receiver({
      topic,
      consumerGroup,
      filter: { kind: "tag", expression: "b || c" },
      onMessages: (batch, settle) => batch.forEach(({ body }, index) => (seen.push(body.toString()), settle(index, true))),
    });
    await send(sender(), topic, ["a1", "b1", "c1", "a2", "b2"]);
    await expect.poll(() => [...seen].sort(), { timeout: 10_000 }).toEqual(["b1", "b2", "c1"]);
  });

  it("says in one line that its group does not exist, and works when it does", async ({ expect }) => {
    const [topic, consumerGroup] = [`r5-${run}`, `g5-${run}`];
    await admin.topic(topic);
    const events: ReceiverEvent[] = [];
    const seen: string[] = [];
    const one = receiver({
      topic,
      consumerGroup,
      onEvent: (event) => events.push(event),
      onMessages: (batch, settle) => batch.forEach(({ body }, index) => (seen.push(body.toString()), settle(index, true))),
    });
    await expect.poll(() => events.length, { timeout: 5000 }).toBe(1);
    expect(events[0]).toMatchObject({ kind: "down", reason: expect.stringContaining(`group not found: ${consumerGroup}`) });
    expect(one.connected).toBe(false);
    await admin.group(consumerGroup);
    await send(sender(), topic, ["1"]);
    await expect.poll(() => seen, { timeout: 10_000 }).toEqual(["1"]);
  }, 20_000);

  it("stops within its time although a message is not settled", async ({ expect }) => {
    const [topic, consumerGroup] = [`r6-${run}`, `g6-${run}`];
    await admin.topic(topic);
    await admin.group(consumerGroup);
    await send(sender(), topic, ["stuck"]);
    let handed = 0;
    const one = receiver({ topic, consumerGroup, invisibleMs: 10_000, onMessages: () => void handed++ });
    await expect.poll(() => handed, { timeout: 5000 }).toBe(1);
    const startedAt = Date.now();
    await one.stop(300);
    expect(Date.now() - startedAt).toBeLessThan(1500);
  });
});
