/**
 * What must happen when somebody sends what must not be sent, in bytes over raw sockets: the
 * connection that did it is told and closed, why is counted and logged, and nobody else notices.
 */
import { Bus } from "@hawser/bus";
import { publishCatalog } from "@hawser/catalog";
import { mqttPackets, type ParsedPacket, rawClient, startStack, type TestStack } from "@hawser/testkit";
import { afterAll, beforeAll, beforeEach, afterEach, describe, expect, it } from "vitest";
import { clientIdOf, credentialsOf, Device } from "./kit/device.ts";
import { metric } from "./kit/metrics.ts";
import { until } from "./kit/until.ts";

let stack: TestStack;
let witness: Device;
let port = 0;

beforeAll(async () => {
  stack = await startStack({ rocketmq: "off" });
  port = Number(stack.mqtt[0]!.tcp.split(":")[1]);
  witness = await Device.connect(stack, "witness", { level: 5 });
  await witness.subscribe({ filter: "demo/witness", qos: 1 });
  // a group the stack's credential has no right to
  const { instance: id, csg, groups, parents, credentials } = stack.state;
  const { accessKeyId, accessKeySecret } = credentials;
  const rules = [{ id: "csg-up", kind: "actor", parent: "csgUp", service: "csg", live: false }];
  const bus = await Bus.connect({ url: stack.natsUrl, name: "test" });
  const signature = { kind: "signature", accessKeyId, accessKeySecret, groups };
  await publishCatalog(bus, { instances: [{ id, profile: "product", csg, groups: [...groups, "GID_other"], parents, rules, credentials: [signature] }] });
  await bus.close();
  const probe = async (): Promise<number> => {
    const client = await rawClient(port);
    client.send(mqttPackets(4).connect({ clientId: "GID_other@@@x", ...credentialsOf(stack, "GID_other@@@x") }));
    const { reasonCode } = await client.next();
    await client.closed;
    return reasonCode!;
  };
  await until("the catalogue at the ingress", probe, (code) => code === 5);
}, 60_000);

afterAll(() => stack?.stop());

let witnessed = 0;
beforeEach(() => {
  witnessed = witness.received.length;
});
afterEach(async () => {
  expect(witness.gone).toBe(false);
  await witness.publish({ topic: "demo/witness", payload: "still here", qos: 1 });
  await witness.until("its own message", (all) => all.length > witnessed);
});

/** @param what a metric of the ingress that must grow by one, and a line its log must gain */
async function noticed(what: { metric: string; labels: Record<string, string>; line: RegExp }, act: () => Promise<void>): Promise<void> {
  const count = (): Promise<number> => metric(stack, "ingress", `hawser_${what.metric}`, what.labels);
  const [before, logged] = [await count(), stack.log("ingress-0").length];
  await act();
  expect(await until(`${what.metric} ${JSON.stringify(what.labels)} grown`, count, (now) => now > before)).toBe(before + 1);
  await until("a log line", () => stack.log("ingress-0").slice(logged), (text) => text.split("\n").some((line) => what.line.test(line)));
}

const levels = [{ level: 4, version: "3.1.1" }, { level: 5, version: "5" }] as const;

describe.each(levels)("a CONNECT of MQTT $version", ({ level }) => {
  const packets = mqttPackets(level);
  const good = (): { username: string; password: string; clientId: string } => ({ clientId: clientIdOf("x"), ...credentialsOf(stack, clientIdOf("x")) });
  const signed = (clientId: string): { username: string; password: string; clientId: string } => ({ clientId, ...credentialsOf(stack, clientId) });

  const refusals: readonly { what: string; fields: () => { clientId: string; username: string; password: string }; outcome: string; code: readonly [number, number] }[] = [
    { what: "a malformed Client ID", fields: () => signed("no-group"), outcome: "client-id", code: [2, 0x85] },
    { what: "an invisible character in its Client ID", fields: () => signed("GID_demo@@@a\u200bb"), outcome: "client-id", code: [2, 0x85] },
    { what: "a Client ID of 65 characters", fields: () => signed(clientIdOf("x".repeat(54))), outcome: "client-id", code: [2, 0x85] },
    { what: "a group that does not exist", fields: () => signed("GID_none@@@x"), outcome: "unknown-group", code: [2, 0x85] },
    { what: "a wrong signature", fields: () => ({ ...good(), password: "AAAAAAAAAAAAAAAAAAAAAAAAAAA=" }), outcome: "bad-signature", code: [4, 0x86] },
    { what: "somebody else's signature", fields: () => ({ ...good(), clientId: clientIdOf("y") }), outcome: "bad-signature", code: [4, 0x86] },
    { what: "an unknown access key", fields: () => ({ ...good(), username: "Signature|nobody|default" }), outcome: "unknown-key", code: [4, 0x86] },
    { what: "an unknown instance", fields: () => ({ ...good(), username: `Signature|${stack.state.credentials.accessKeyId}|elsewhere` }), outcome: "unknown-instance", code: [4, 0x86] },
    { what: "a known identity without a right to its group", fields: () => signed("GID_other@@@x"), outcome: "group-not-allowed", code: [5, 0x87] },
  ];
  it.each(refusals)("with $what is refused", async ({ fields, outcome, code }) => {
    const { clientId } = fields();
    await noticed({ metric: "mqtt_connects_total", labels: { outcome }, line: new RegExp(`"reason":"${outcome}".*connect refused`) }, async () => {
      const client = await rawClient(port, { level });
      client.send(packets.connect(fields()));
      const connack = await client.next();
      expect(connack).toMatchObject({ type: "connack", sessionPresent: false, reasonCode: code[level === 5 ? 1 : 0] });
      await client.closed;
      expect(client.waiting, clientId).toEqual([]);
    });
  });

  it("that is the second one of its connection closes it", async () => {
    const client = await Device.connect(stack, "second-connect", { level });
    await closedFor(client, "second CONNECT", 0x82, client.packets.connect(good()));
  });

  const malformed: readonly { what: string; bytes: Buffer; reason: string; code: number }[] = [
    { what: "QoS 3", bytes: Buffer.from([0x36, 5, 0, 1, 0x61, 0, 1]), reason: "QoS 3", code: 0x81 },
    { what: "a SUBSCRIBE with other flags than 2", bytes: Buffer.from([0x80, 6, 0, 1, 0, 1, 0x61, 0]), reason: "reserved flags", code: 0x81 },
    { what: "a topic that is no UTF-8", bytes: Buffer.from([0x30, 4, 0, 1, 0xff, 0]), reason: "UTF-8 string", code: 0x81 },
    { what: "a packet type that does not exist", bytes: Buffer.from([0x00, 0]), reason: "packet type", code: 0x82 },
    { what: "a topic longer than its packet", bytes: Buffer.from([0x30, 3, 0, 9, 0x61]), reason: "truncated packet", code: 0x81 },
    { what: "a remaining length of five bytes", bytes: Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff, 1]), reason: "malformed-length", code: 0x81 },
    { what: "the header of a packet of 256 MiB", bytes: Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f]), reason: "too-large", code: 0x95 },
    { what: "the header of a packet of 128 KiB and a bit", bytes: Buffer.from([0x30, 0xfe, 0xff, 0x07]), reason: "too-large", code: 0x95 },
  ];
  it.each(malformed)("is followed by $what: the connection is closed", async ({ bytes, reason, code }) => {
    const client = await Device.connect(stack, "malformed", { level });
    await closedFor(client, reason, code, bytes);
  });

  async function closedFor(client: Device, reason: string, code: number, bytes: Uint8Array): Promise<void> {
    await noticed({ metric: "mqtt_malformed_packets_total", labels: { reason }, line: new RegExp(`"reason":"${reason}".*closed for what it sent`) }, async () => {
      client.raw.send(bytes);
      await client.raw.closed;
      await until("the last packet", () => client.disconnect?.reasonCode ?? null, (seen) => seen === (level === 5 ? code : null));
    });
  }
});

describe("before CONNECT", () => {
  const cases: readonly { what: string; bytes: Buffer; reason: string }[] = [
    { what: "a PUBLISH", bytes: mqttPackets(4).publish({ topic: "demo/x" }), reason: "not-connect" },
    { what: "a PINGREQ", bytes: mqttPackets(4).pingreq(), reason: "not-connect" },
    { what: "an HTTP request", bytes: Buffer.from("GET / HTTP/1.1\r\n\r\n"), reason: "not-connect" },
    { what: "a remaining length of 256 MiB", bytes: Buffer.from([0x10, 0xff, 0xff, 0xff, 0x7f]), reason: "too-large" },
    { what: "a remaining length of 128 KiB", bytes: Buffer.from([0x10, 0x80, 0x80, 0x08]), reason: "too-large" },
    { what: "a remaining length of five bytes", bytes: Buffer.from([0x10, 0xff, 0xff, 0xff, 0xff]), reason: "malformed-length" },
    { what: "a CONNECT that ends in its middle", bytes: Buffer.from([0x10, 4, 0, 4, 0x4d, 0x51]), reason: "truncated packet" },
  ];
  it.each(cases)("$what closes the connection at once, without an answer", async ({ bytes, reason }) => {
    await noticed({ metric: "mqtt_malformed_packets_total", labels: { reason }, line: new RegExp(`"reason":"${reason}".*closed for what it sent`) }, async () => {
      const client = await rawClient(port);
      client.send(bytes);
      await client.closed;
      expect(client.waiting).toEqual([]);
    });
  });

  it.each([[4, 3, 1], [6, 5, 0x84]] as const)("a CONNECT of version %i under the name of another is told so", async (byte, level, code) => {
    const client = await rawClient(port, { level });
    const name = byte === 4 ? "MQIsdp" : "MQTT";
    const body = Buffer.concat([Buffer.from([0, name.length]), Buffer.from(name), Buffer.from([byte, 2, 0, 60, 0]), Buffer.from([0, 1, 0x61])]);
    client.send(Buffer.concat([Buffer.from([0x10, body.length]), body]));
    expect(await client.next()).toMatchObject({ type: "connack", reasonCode: code });
    await client.closed;
  });

  it("a CONNECT with another protocol's name closes the connection without an answer", async () => {
    const client = await rawClient(port);
    client.send(Buffer.from([0x10, 8, 0, 4, 0x4d, 0x51, 0x54, 0x58, 4, 2]));
    await client.closed;
    expect(client.waiting).toEqual([]);
    expect(await metric(stack, "ingress", "hawser_mqtt_closes_total", { reason: "protocol name" })).toBe(1);
  });

  it("bytes that never become a packet are kept for the connect timeout and no longer", async () => {
    const client = await rawClient(port);
    client.send(Buffer.from([0x10, 0x20, 0, 4]));
    await client.closed;
    expect(await metric(stack, "ingress", "hawser_mqtt_closes_total", { reason: "connect timeout" })).toBe(1);
  });
});

describe.each(levels)("a PUBLISH of MQTT $version", ({ level }) => {
  const tooLong = `demo/${"x".repeat(60)}`;
  const cases: readonly { what: string; topic: string; payload?: Buffer; reason: string; codes: readonly number[] }[] = [
    { what: "to an unknown parent topic", topic: "nowhere/x", reason: "unknown-parent-topic", codes: [0x90, 0x87] },
    { what: "to a topic of 65 characters", topic: tooLong, reason: "topic-too-long", codes: [0x90, 0x87] },
    { what: "to a topic of the server's own", topic: "$SYS/broker/load", reason: "reserved-topic", codes: [0x90, 0x87] },
    { what: "of 64 KiB and a byte", topic: "demo/large", payload: Buffer.alloc(65_537, 1), reason: "payload-too-large", codes: [0x95] },
  ];
  for (const { what, topic, payload = Buffer.from("x"), reason, codes } of cases) {
    const line = new RegExp(`"reason":"${reason}".*publish refused`);
    it(`${what} is ${level === 5 ? "refused in its PUBACK" : "answered by a close"}, counted and logged`, async () => {
      const client = await Device.connect(stack, "publisher", { level });
      await noticed({ metric: "mqtt_publishes_refused_total", labels: { reason }, line }, async () => {
        const answer = await client.publish({ topic, payload, qos: 1 }).catch(() => null);
        if (level === 5) {
          expect(codes).toContain(answer?.reasonCode);
          await client.ping();
        } else {
          expect(answer).toBeNull();
          await client.raw.closed;
        }
      });
      if (!client.gone) await client.leave();
    });

    it(`${what} at QoS 0 is counted and logged, not silently dropped`, async () => {
      const client = await Device.connect(stack, "publisher-0", { level });
      await noticed({ metric: "mqtt_publishes_refused_total", labels: { reason }, line }, async () => {
        client.raw.send(client.packets.publish({ topic, payload }));
        if (level === 5) await client.ping();
        else await client.raw.closed;
      });
      if (!client.gone) await client.leave();
    });
  }

  it("of exactly 64 characters and 64 KiB is taken, and a receiver's Client ID does not count", async () => {
    const client = await Device.connect(stack, "at-the-limit", { level });
    const answers: (ParsedPacket | null)[] = [
      await client.publish({ topic: tooLong.slice(0, 64), payload: Buffer.alloc(65_536, 1), qos: 1 }),
      await client.publish({ topic: `demo/p2p/${clientIdOf("y".repeat(50))}`, payload: "p2p", qos: 1 }),
    ];
    for (const answer of answers) expect(answer!.reasonCode ?? 0).toBeLessThan(0x80);
    await client.leave();
  });
});

describe.each(levels)("a SUBSCRIBE of MQTT $version", ({ level }) => {
  const codeOf = (five: number): number => (level === 5 ? five : 0x80);

  it("is answered filter by filter", async () => {
    const client = await Device.connect(stack, "subscriber", { level });
    const codes = await client.subscribe("nowhere/#", "demo/a#", `demo/${"x".repeat(60)}`, `demo/p2p/${witness.clientId}`, { filter: "demo/good", qos: 1 });
    expect(codes).toEqual([codeOf(0x87), codeOf(0x8f), codeOf(0x8f), codeOf(0x87), 1]);
    for (const reason of ["unknown-parent-topic", "filter-wildcard", "filter-too-long", "foreign-p2p-topic"]) {
      expect(await metric(stack, "ingress", "hawser_mqtt_subscribes_refused_total", { reason }), reason).toBeGreaterThan(0);
    }
    await client.leave();
  });

  it("is refused its 31st filter", async () => {
    const client = await Device.connect(stack, "many", { level });
    const codes = await client.subscribe(...Array.from({ length: 31 }, (_, at) => `demo/many/${at}`));
    expect(codes).toEqual([...Array<number>(30).fill(0), codeOf(0x97)]);
    await client.leave();
  });
});
