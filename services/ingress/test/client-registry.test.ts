import type { CompiledInstance } from "@hawser/catalog";
import type { MqttConnection } from "@hawser/mqtt";
import { CallError, type CallDone } from "@hawser/shards";
import { decodeFrame, encodeAnswer, SessionVerb } from "@hawser/wire";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Client } from "../src/client.ts";
import { ClientRegistry } from "../src/client-registry.ts";

let registry: ClientRegistry;
let asked: { readonly frame: Buffer; readonly done: CallDone }[];

beforeEach(() => {
  vi.useFakeTimers();
  asked = [];
  const sessions = { call: (_shard: number, frame: Buffer, _options: object, done: CallDone) => asked.push({ frame, done }) };
  registry = new ClientRegistry(sessions as never, { removeAll: () => undefined } as never, () => undefined);
});

afterEach(() => vi.useRealTimers());

function client(): Client {
  const instance = { id: "default" } as CompiledInstance;
  const made = new Client({ number: 1, channelId: "c", connection: {} as MqttConnection, instance, clientId: "GID@@@a", device: "a", clientIp: "", level: 5, shard: 7, partition: 0, sessionExpirySeconds: 0 });
  made.sequence = "3.4";
  registry.add(made);
  return made;
}

const EMPTY = Buffer.alloc(0);
const answered = (answer: Parameters<typeof encodeAnswer>[0]): void => asked.at(-1)!.done(null, encodeAnswer(answer));

describe("the end of a connection", () => {
  it("is told the owner when everything of it is resolved, and not before", () => {
    const one = client();
    one.begin();
    registry.over(one, { goodbye: true, will: "discard" });
    expect(asked).toEqual([]);
    one.end();
    const { verb, head } = decodeFrame(asked[0]!.frame);
    expect([verb, head]).toEqual([SessionVerb.closed, { instance: "default", clientId: "GID@@@a", sequence: "3.4", channelId: "c", clientIp: "", goodbye: true }]);
    expect(registry.size).toBe(0);
    answered({ ok: true });
    vi.advanceTimersByTime(60_000);
    expect(asked.length).toBe(1);
  });

  it("is told until an owner has heard it: nobody else would find out, when no other client of the shard is here", () => {
    registry.over(client(), { goodbye: false, will: "discard" });
    asked.at(-1)!.done(new CallError("unavailable", 7), EMPTY);
    vi.advanceTimersByTime(2_000);
    expect(asked.length).toBe(2);
    asked.at(-1)!.done(new CallError("timeout", 7), EMPTY);
    vi.advanceTimersByTime(2_000);
    expect(asked.length).toBe(3);
    answered({ ok: false, code: "busy", reason: "too many requests for this client" });
    vi.advanceTimersByTime(2_000);
    expect(asked.length).toBe(4);
    expect(asked[3]!.frame).toEqual(asked[0]!.frame);
    answered({ ok: true });
    vi.advanceTimersByTime(60_000);
    expect(asked.length).toBe(4);
  });

  it("is not told any more when the process ends: then its death says it", () => {
    registry.over(client(), { goodbye: false, will: "discard" });
    registry.stop();
    asked.at(-1)!.done(new CallError("unavailable", 7), EMPTY);
    vi.advanceTimersByTime(60_000);
    expect(asked.length).toBe(1);
  });
});
