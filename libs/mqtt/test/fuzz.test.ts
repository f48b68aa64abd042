import fc from "fast-check";
import mqttPacket, { type Packet } from "mqtt-packet";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { OutgoingPublish } from "../src/index.ts";
import { connectPacket, levels, startHarness, turn, type Harness } from "./raw-client.ts";

let harness: Harness;
beforeAll(async () => {
  harness = await startHarness({ inboundWindowMessages: 8, maxPacketBytes: 4096 });
});
afterAll(() => harness.stop());

const seeds: Packet[] = [
  { cmd: "publish", topic: "a/b", payload: "hello", qos: 1, messageId: 3, dup: false, retain: true, properties: { contentType: "t", userProperties: { a: "b" }, topicAlias: 2 } },
  { cmd: "publish", topic: "a", payload: "", qos: 2, messageId: 4, dup: true, retain: false },
  { cmd: "puback", messageId: 1 },
  { cmd: "pubrec", messageId: 1 },
  { cmd: "pubrel", messageId: 4 },
  { cmd: "pubcomp", messageId: 1 },
  { cmd: "subscribe", messageId: 5, subscriptions: [{ topic: "x/#", qos: 2 }, { topic: "$share/g/x", qos: 1 }], properties: { subscriptionIdentifier: 9 } },
  { cmd: "unsubscribe", messageId: 6, unsubscriptions: ["x/#", "y"] },
  { cmd: "pingreq" },
  { cmd: "disconnect", properties: { sessionExpiryInterval: 3 } },
];

const mutation = fc.record({ at: fc.nat(), value: fc.nat(255), kind: fc.constantFrom("set", "cut", "insert") });

describe("any byte stream", () => {
  it("of damaged packets, split anywhere, never throws, ends each connection at most once and keeps little", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...levels),
        fc.boolean(),
        fc.array(fc.nat(seeds.length - 1), { maxLength: 12 }),
        fc.array(mutation, { maxLength: 4 }),
        fc.array(fc.nat(400), { maxLength: 5 }),
        async (level, damageConnect, picks, mutations, cuts) => {
          const closedBefore = harness.recorded.closed.length;
          const connect = mqttPacket.generate(connectPacket(level, { will: { topic: "w", payload: "x", qos: 1, retain: false }, username: "u", password: "p" }), { protocolVersion: level });
          const rest = picks.map((pick) => mqttPacket.generate(seeds[pick]!, { protocolVersion: level }));
          const client = harness.open();
          let bytes: Buffer = Buffer.concat(damageConnect ? [connect, ...rest] : rest);
          for (const { at, value, kind } of mutations) {
            if (bytes.length === 0) break;
            const where = at % bytes.length;
            if (kind === "set") bytes[where] = value;
            else if (kind === "cut") bytes = Buffer.concat([bytes.subarray(0, where), bytes.subarray(where + 1)]);
            else bytes = Buffer.concat([bytes.subarray(0, where), Buffer.from([value]), bytes.subarray(where)]);
          }
          if (!damageConnect) {
            client.connection.receive(connect);
            for (let i = 0; i < 6; i++) await turn();
            client.connection.deliver(new OutgoingPublish({ topic: "t", payload: Buffer.from("x"), properties: null }), { qos: 1, retain: false });
          }
          const at = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
          for (const [i, start] of [0, ...at].entries()) client.connection.receive(bytes.subarray(start, at[i] ?? bytes.length));
          for (let i = 0; i < 6; i++) await turn();
          client.connection.socketClosed("socket closed");
          expect(harness.recorded.closed.length - closedBefore).toBe(1);
          expect(client.connection.isClosed).toBe(true);
          harness.recorded.publishes.length = 0;
        },
      ),
      { numRuns: 1500 },
    );
    expect(harness.acceptor.connections.size).toBe(0);
  });

  it("of noise after an MQTT CONNECT never throws", async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...levels), fc.uint8Array({ maxLength: 200 }), async (level, noise) => {
        const client = harness.open();
        client.connection.receive(Buffer.concat([mqttPacket.generate(connectPacket(level), { protocolVersion: level }), noise]));
        for (let i = 0; i < 6; i++) await turn();
        client.connection.socketClosed("socket closed");
        expect(client.connection.isClosed).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});
