/** When RocketMQ is acknowledged for a P2P message: by what the owner of its receiver says. */
import { compileInstance, parseCatalogYaml } from "@hawser/catalog";
import type { ReceivedMessage } from "@hawser/rocketmq";
import { createLogger } from "@hawser/telemetry";
import { type Answer, encodeAnswer } from "@hawser/wire";
import { expect, it } from "vitest";
import type { InboundContext } from "../src/inbound-context.ts";
import { InboundMqtt } from "../src/inbound-mqtt.ts";

const document = parseCatalogYaml(JSON.stringify({
  instances: [{ id: "default", groups: ["GID"], parents: ["demo"], rules: [{ id: "in", kind: "inbound", topic: "down", consumerGroup: "g", parent: "demo" }] }],
}));
const instance = compileInstance(document.instances[0]!, 1);

function acknowledged(answer: Answer<{ state: string }>): boolean[] {
  const context = {
    bus: { flush: () => Promise.resolve() },
    member: "router-0_test",
    catalog: { instance: () => instance },
    sessions: { call: (_shard: number, _frame: Buffer, _options: object, done: (error: null, bytes: Buffer) => void) => done(null, encodeAnswer(answer)) },
    shards: 64,
    limits: { maxTopicLength: 64, maxPayloadBytes: 65_536, maxClientIdLength: 64, clientIdCharacters: "" },
    log: createLogger("router", "router-0_test", "silent"),
    nextSequence: () => 1,
    mayAct: () => true,
  } as unknown as InboundContext;
  const rule = instance.inboundRules[0]!;
  if (rule.service !== null) throw new Error("not an MQTT rule");
  const message = { messageId: "m", body: Buffer.from("x"), properties: { mqttSecondTopic: "/p2p/GID@@@one" }, tag: "", keys: [], bornAtMs: Date.now() } as unknown as ReceivedMessage;
  const settled: boolean[] = [];
  new InboundMqtt(context, "default", rule).take([message], (_index, ok) => settled.push(ok));
  return settled;
}

it("a P2P message is acknowledged when its receiver's owner has decided about it", () => {
  for (const state of ["handed", "stored", "offline"]) expect(acknowledged({ ok: true, state })).toEqual([true]);
  expect(acknowledged({ ok: false, code: "refused", reason: "no target" })).toEqual([true]);
});

it("a P2P message of which nobody knows whether it was delivered or stored comes again", () => {
  expect(acknowledged({ ok: true, state: "unknown" })).toEqual([false]);
  expect(acknowledged({ ok: false, code: "busy", reason: "the inbox takes nothing more" })).toEqual([false]);
});
