/** When a publish is acknowledged, by what its destinations say and in whatever order they say it. */
import { compileInstance, parseCatalogYaml } from "@hawser/catalog";
import type { InboundPublish, MqttConnection } from "@hawser/mqtt";
import { createLogger } from "@hawser/telemetry";
import { type Answer, encodeAnswer, type P2pOutcome, type P2pState } from "@hawser/wire";
import { beforeEach, describe, expect, it } from "vitest";
import { Client } from "../src/client.ts";
import { IngressTelemetry } from "../src/ingress-telemetry.ts";
import type { LiveWaiter } from "../src/live-bus.ts";
import { PublishPath, type PublishPathParts } from "../src/publish-path.ts";

type AppendOutcome = "stored" | "refused" | "ambiguous";

const document = parseCatalogYaml(JSON.stringify({
  instances: [{ id: "default", groups: ["GID"], parents: ["demo"], rules: [{ id: "out", kind: "outbound", parent: "demo", topic: "demo", p2p: true }] }],
}));
const instance = compileInstance(document.instances[0]!, 1);
const telemetry = new IngressTelemetry(createLogger("ingress", "ingress-0_test", "silent"), () => 0);

let acks: number[];
let closes: string[];
let client: Client;
let path: PublishPath;
/** What the destinations are to answer. */
let append: ((outcome: AppendOutcome) => void) | null;
let live: (() => void) | null;
let p2p: ((state: P2pState) => void) | null;

beforeEach(() => {
  [acks, closes, append, live, p2p] = [[], [], null, null, null];
  const connection = {
    completePublish: (_slot: number, code: number) => acks.push(code),
    close: ({ reason }: { reason: string }) => closes.push(reason),
  } as unknown as MqttConnection;
  client = new Client({ number: 1, channelId: "c", connection, instance, clientId: "GID@@@a", device: "a", clientIp: "", level: 5, shard: 1, partition: 0, sessionExpirySeconds: 0 });
  path = new PublishPath({
    member: "ingress-0_test",
    shards: 64,
    maxTopicLength: 64,
    maxPayloadBytes: 65_536,
    giveUpMs: 30_000,
    live: { publish: (_subject: string, _envelope: Buffer, waiter: LiveWaiter) => (live = () => waiter.flushed()) },
    log: { append: (_partition: number, _record: object, done: typeof append) => (append = done) },
    sessions: { call: (_shard: number, _frame: Buffer, _options: object, done: (error: null, bytes: Buffer) => void) => (p2p = (state) => done(null, ownerSays(state))) },
    actors: {},
    telemetry,
  } as unknown as PublishPathParts);
});

function ownerSays(state: P2pState): Buffer {
  const answer: Answer<P2pOutcome> = { ok: true, state };
  return encodeAnswer(answer);
}

function publish(topic: string, qos: 1 | 2 = 1): void {
  const packet = { topic, qos, retain: false, dup: false, packetId: 1, properties: null, payload: Buffer.from("x"), packetBytes: 20 } satisfies InboundPublish;
  path.publish(client, packet, 1);
}

const isResolved = (): boolean => {
  let resolved = false;
  client.whenResolved(() => (resolved = true));
  return resolved;
};

describe("a publish on an ordinary topic", () => {
  it("is acknowledged when the log has it and NATS has been flushed", () => {
    publish("demo/x");
    live!();
    expect([acks, isResolved()]).toEqual([[], false]);
    append!("stored");
    expect([acks, isResolved()]).toEqual([[0], true]);
  });

  it("that the log has given up does not wait for NATS to come back", () => {
    publish("demo/x");
    append!("refused");
    expect([acks, closes, isResolved()]).toEqual([[0x97], [], true]);
    live!();
    expect([acks, isResolved()]).toEqual([[0x97], true]);
  });

  it("of QoS 2 goes live when the log has it, not before", () => {
    publish("demo/x", 2);
    expect(live).toBe(null);
    append!("stored");
    expect(acks).toEqual([]);
    live!();
    expect(acks).toEqual([0]);
  });
});

describe("a P2P publish with a rule", () => {
  it("says that the receiver is absent only when the log has it", () => {
    publish("demo/p2p/GID@@@b");
    append!("stored");
    p2p!("offline");
    expect(acks).toEqual([0x10]);
  });

  it("is not acknowledged when the log has refused it, whatever the receiver's owner says", () => {
    for (const state of ["handed", "offline"] as const) {
      acks = [];
      publish("demo/p2p/GID@@@b");
      append!("refused");
      p2p!(state);
      publish("demo/p2p/GID@@@b");
      p2p!(state);
      append!("refused");
      expect(acks).toEqual([0x97, 0x97]);
    }
  });

  it("of which one destination is in doubt closes the connection, whatever the other says", () => {
    publish("demo/p2p/GID@@@b");
    append!("ambiguous");
    p2p!("offline");
    publish("demo/p2p/GID@@@b");
    p2p!("unknown");
    append!("refused");
    expect([acks, closes.length]).toEqual([[], 2]);
  });
});
