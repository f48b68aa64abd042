import { type RocketMqAddresses, startRocketMq } from "@hawser/testkit";
import { afterAll, beforeAll, describe, it } from "vitest";
import { type OutgoingMessage, type ReceivedMessage, RocketMqAdmin, RocketMqReceiver, RocketMqSender, type SenderEvent, type SendOutcome } from "../src/index.ts";

let server: RocketMqAddresses;
let admin: RocketMqAdmin;
const run = Date.now().toString(36);
/** The tests run side by side: what they leave open ends after the last. */
const open: RocketMqSender[] = [];

beforeAll(async () => {
  server = await startRocketMq();
  admin = await RocketMqAdmin.connect(server.broker);
  await admin.group(`all-${run}`);
});
afterAll(() => {
  for (const each of open) each.close();
  admin.close();
});

const message = (topic: string, body: string, more: Partial<OutgoingMessage> = {}): OutgoingMessage => ({
  topic,
  body: Buffer.from(body),
  properties: [["n", body]],
  tag: "",
  keys: [],
  group: "",
  ...more,
});

function sender(options: Partial<ConstructorParameters<typeof RocketMqSender>[0]> = {}): RocketMqSender {
  const made = new RocketMqSender({ endpoints: server.endpoint, ...options });
  open.push(made);
  return made;
}

function sendAll(to: RocketMqSender, messages: readonly OutgoingMessage[]): Promise<SendOutcome[]> {
  const outcomes: SendOutcome[] = new Array(messages.length);
  let left = messages.length;
  return new Promise((resolve) => {
    messages.forEach((each, index) =>
      to.send(each, (outcome) => {
        outcomes[index] = outcome;
        if (--left === 0) resolve(outcomes);
      }),
    );
  });
}

/** Receives and acknowledges until there are `count`. */
async function received(topic: string, count: number): Promise<ReceivedMessage[]> {
  const all: ReceivedMessage[] = [];
  let enough: () => void;
  const done = new Promise<void>((resolve) => (enough = resolve));
  const receiver = new RocketMqReceiver({
    endpoints: server.endpoint,
    topic,
    consumerGroup: `all-${run}`,
    onMessages: (batch, settle) => {
      all.push(...batch);
      batch.forEach((_, index) => settle(index, true));
      if (all.length >= count) enough();
    },
  });
  await done;
  await receiver.stop();
  return all;
}

describe.concurrent("the sender", () => {
  it("sends thousands of messages to a NORMAL topic in a few batches", async ({ expect }) => {
    const topic = `batches-${run}`;
    await admin.topic(topic);
    const batches: number[] = [];
    const to = sender({ onBatch: (messages) => batches.push(messages) });
    const bodies = Array.from({ length: 3000 }, (_, n) => String(n));
    const outcomes = await sendAll(to, bodies.map((body) => message(topic, body, { tag: "t", keys: [`k${body}`] })));
    expect(outcomes.every(({ kind }) => kind === "sent")).toBe(true);
    expect(batches.reduce((sum, each) => sum + each, 0)).toBe(3000);
    expect(batches.length).toBeLessThan(20);
    expect(Math.max(...batches)).toBe(512);
    const all = await received(topic, 3000);
    expect(new Set(all.map(({ body }) => body.toString())).size).toBe(3000);
    const [first] = all;
    expect(first).toMatchObject({ topic, tag: "t", keys: [`k${first!.body}`], properties: { n: String(first!.body) }, group: "" });
  });

  it("keeps the order of each message group of a FIFO topic, groups side by side", async ({ expect }) => {
    const topic = `fifo-${run}`;
    await admin.topic(topic, "FIFO", 8);
    const to = sender();
    const messages = Array.from({ length: 200 }, (_, n) => message(topic, String(n), { group: n % 2 === 0 ? `client-${n % 20}` : `${"x".repeat(70)}-${n % 20}` }));
    expect((await sendAll(to, messages)).every(({ kind }) => kind === "sent")).toBe(true);
    const all = await received(topic, 200);
    const byGroup = new Map<string, ReceivedMessage[]>();
    for (const each of all) byGroup.set(each.group, [...(byGroup.get(each.group) ?? []), each]);
    expect(byGroup.size).toBe(20);
    for (const each of byGroup.values()) {
      expect(new Set(each.map(({ queueId }) => queueId)).size).toBe(1);
      const numbers = each.sort((a, b) => a.queueOffset - b.queueOffset).map(({ body }) => Number(body));
      expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
    }
  });

  it("sends ordered batches to a FIFO topic with one write queue", async ({ expect }) => {
    const topic = `fifo-one-${run}`;
    await admin.topic(topic, "FIFO", 1);
    const batches: number[] = [];
    const to = sender({ onBatch: (messages) => batches.push(messages) });
    await sendAll(to, Array.from({ length: 400 }, (_, n) => message(topic, String(n), { group: `client-${n % 5}` })));
    expect(batches.length).toBeLessThan(10);
    const all = await received(topic, 400);
    expect(all.sort((a, b) => a.queueOffset - b.queueOffset).map(({ body }) => Number(body))).toEqual(Array.from({ length: 400 }, (_, n) => n));
  });

  it("finds the one message of a batch that RocketMQ refuses and stores the others", async ({ expect }) => {
    const topic = `poison-${run}`;
    await admin.topic(topic);
    const to = sender();
    const messages = Array.from({ length: 100 }, (_, n) => message(topic, String(n), n === 37 ? { properties: [["KEYS", "reserved"]] } : {}));
    const outcomes = await sendAll(to, messages);
    expect(outcomes.flatMap((outcome, n) => (outcome.kind === "sent" ? [] : [[n, outcome.kind, "code" in outcome && outcome.code]]))).toEqual([[37, "refused", 40_007]]);
    expect(new Set((await received(topic, 99)).map(({ body }) => body.toString())).size).toBe(99);
  });

  it("refuses a body the broker has no room for without asking", async ({ expect }) => {
    const [outcome] = await sendAll(sender(), [message("any", "", { body: Buffer.alloc(3_700_000) })]);
    expect(outcome).toMatchObject({ kind: "refused", code: 41_301 });
  });

  it("sends one zero byte for an empty body, which the proxy refuses", async ({ expect }) => {
    const topic = `empty-${run}`;
    await admin.topic(topic);
    const outcomes = await sendAll(sender(), ["", "full", ""].map((body) => message(topic, body, { properties: [] })));
    expect(outcomes.map(({ kind }) => kind)).toEqual(["sent", "sent", "sent"]);
    expect((await received(topic, 3)).map(({ body }) => body.toString("hex")).sort()).toEqual(["00", "00", Buffer.from("full").toString("hex")]);
  });

  it("parks a topic that is missing, goes on with the others, and sends when it is there", async ({ expect }) => {
    const events: SenderEvent[] = [];
    const to = sender({ onEvent: (event) => events.push(event), routeRetryMs: 100, parkMs: 60_000 });
    const [topic, other] = [`late-${run}`, `other-${run}`];
    await admin.topic(other);
    const late = sendAll(to, [message(topic, "1"), message(topic, "2")]);
    expect((await sendAll(to, [message(other, "x")]))[0]!.kind).toBe("sent");
    await expect.poll(() => to.parkedTopics).toEqual([topic]);
    expect(to.waiting).toBe(2);
    await admin.topic(topic);
    expect((await late).map(({ kind }) => kind)).toEqual(["sent", "sent"]);
    expect(to.parkedTopics).toEqual([]);
    expect(events.map(({ kind }) => kind)).toEqual(["parked", "opened"]);
    // the proxy remembers for up to 20 s that a topic is missing
  }, 40_000);

  it("gives back the messages of a topic that stays missing, and those that come later without waiting", async ({ expect }) => {
    const to = sender({ routeRetryMs: 50, parkMs: 200 });
    const topic = `never-${run}`;
    expect((await sendAll(to, [message(topic, "1")]))[0]).toMatchObject({ kind: "refused", code: 40_402 });
    const startedAt = Date.now();
    expect((await sendAll(to, [message(topic, "2")]))[0]).toMatchObject({ kind: "refused", code: 40_402 });
    expect(Date.now() - startedAt).toBeLessThan(150 * 10);
  });

  it("abandons what may not be sent any more", async ({ expect }) => {
    const topic = `mine-${run}`;
    await admin.topic(topic);
    const to = sender({ maySend: ({ body }) => body.toString() !== "no" });
    expect((await sendAll(to, ["yes", "no", "yes"].map((body) => message(topic, body)))).map(({ kind }) => kind)).toEqual(["sent", "abandoned", "sent"]);
  });
});
