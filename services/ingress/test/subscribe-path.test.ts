import { compileInstance, parseCatalogYaml } from "@hawser/catalog";
import type { MqttConnection } from "@hawser/mqtt";
import type { CallDone } from "@hawser/shards";
import { createLogger } from "@hawser/telemetry";
import { encodeAnswer } from "@hawser/wire";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { Client } from "../src/client.ts";
import { FanOut } from "../src/fan-out.ts";
import { IngressTelemetry } from "../src/ingress-telemetry.ts";
import type { LiveBus } from "../src/live-bus.ts";
import { SubscribePath } from "../src/subscribe-path.ts";

const document = parseCatalogYaml(JSON.stringify({ instances: [{ id: "default", groups: ["GID"], parents: ["demo"], rules: [] }] }));
const instance = compileInstance(document.instances[0]!, 1);
const telemetry = new IngressTelemetry(createLogger("ingress", "ingress-0_test", "silent"), () => 0);

let answers: (readonly number[])[];
let closes: string[];
let interest: Map<string, (envelope: Buffer) => void>;
let owner: CallDone[];
let flushes: ((ok: boolean) => void)[];
let path: SubscribePath;
let fanOut: FanOut;

beforeEach(() => {
  [answers, closes, owner, flushes] = [[], [], [], []];
  interest = new Map();
  const live = {
    addInterest: (subject: string, handler: (envelope: Buffer) => void) => interest.set(subject, handler),
    removeInterest: (subject: string) => interest.delete(subject),
  } as unknown as LiveBus;
  fanOut = new FanOut(live, telemetry);
  path = new SubscribePath({
    maxTopicLength: 64,
    maxSubscriptions: 30,
    denied: new Set(),
    fanOut,
    sessions: { call: (_shard: number, _frame: Buffer, _options: object, done: CallDone) => owner.push(done) } as never,
    flush: () => new Promise((resolve, reject) => flushes.push((ok) => (ok ? resolve() : reject(new Error("disconnected"))))),
    telemetry,
  });
});

function client(sessionExpirySeconds: number, level = 5): Client {
  const connection = {
    answerSubscribe: (_packetId: number, codes: readonly number[]) => answers.push(codes),
    answerUnsubscribe: (_packetId: number, codes: readonly number[]) => answers.push(codes),
    close: ({ reason }: { reason: string }) => closes.push(reason),
  } as unknown as MqttConnection;
  return new Client({ number: 1, channelId: "c", connection, instance, clientId: "GID@@@a", device: "a", clientIp: "", level, shard: 1, partition: 0, sessionExpirySeconds });
}

function subscribe(to: Client, filter: string, qos: 0 | 1 | 2 = 1): void {
  path.subscribe(to, { packetId: 1, identifier: 0, subscriptions: [{ filter, qos, noLocal: false, retainAsPublished: false, retainHandling: 0 }] });
}

const busy = encodeAnswer({ ok: false, code: "busy", reason: "the routers do not know the filters yet" });
const ok = encodeAnswer({ ok: true });

describe("a subscription", () => {
  it("is acknowledged when NATS has the interest, however often it goes away before", async () => {
    vi.useFakeTimers();
    const one = client(0);
    subscribe(one, "demo/x");
    for (let outage = 1; outage <= 2; outage++) {
      flushes.at(-1)!(false);
      await vi.advanceTimersByTimeAsync(1_000);
      expect([answers, flushes.length]).toEqual([[], outage + 1]);
    }
    flushes.at(-1)!(true);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(answers).toEqual([[1]]);
    vi.useRealTimers();
  });

  it("that could not be stored is refused and there no more", async () => {
    const one = client(100);
    subscribe(one, "demo/x");
    flushes[0]!(true);
    await vi.waitFor(() => expect(owner.length).toBe(1));
    owner[0]!(null, busy);
    expect(answers).toEqual([[0x80]]);
    expect([one.subscriptions.size, interest.size]).toEqual([0, 0]);
  });

  it("that could not be stored leaves the one that has replaced it meanwhile", async () => {
    const one = client(100);
    subscribe(one, "demo/x", 1);
    subscribe(one, "demo/x", 2);
    for (const flush of flushes) flush(true);
    await vi.waitFor(() => expect(owner.length).toBe(2));
    owner[0]!(null, busy);
    owner[1]!(null, ok);
    expect(answers).toEqual([[0x80], [2]]);
    expect([one.subscriptions.get("demo/x")?.qos, interest.size]).toEqual([2, 1]);
  });
});

describe("the end of a subscription", () => {
  it("that the owner has not taken is not acknowledged as done: MQTT 5 is told, 3.1.1 closed", () => {
    const five = client(100);
    path.unsubscribe(five, { packetId: 2, filters: ["demo/x"] });
    owner[0]!(null, busy);
    expect([answers, closes.length]).toEqual([[[0x80]], 0]);
    const three = client(100, 4);
    path.unsubscribe(three, { packetId: 2, filters: ["demo/x"] });
    owner[1]!(null, busy);
    expect([answers.length, closes.length]).toEqual([1, 1]);
  });
});

describe("a live message", () => {
  it("that cannot be read is counted and dropped: the process goes on", () => {
    subscribe(client(0), "demo/x");
    expect(() => interest.get("m.default.demo.x")!(Buffer.from([255, 1, 2]))).not.toThrow();
  });
});
