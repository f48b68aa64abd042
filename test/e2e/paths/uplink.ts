/** MQTT to RocketMQ and back. */
import { randomUUID } from "node:crypto";
import { expect, it } from "vitest";
import { clientIdOf, Device } from "../kit/device.ts";
import { metric } from "../kit/metrics.ts";
import { until } from "../kit/until.ts";
import type { PartsNow } from "./parts.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const TRACEPARENT = `00-${TRACE}-00f067aa0ba902b7-01`;

export function uplinkPaths(parts: PartsNow): void {
  const arrived = (text: string) =>
    until(`"${text}" in RocketMQ`, () => parts().uplink.filter(({ body }) => body.toString() === text), (found) => found.length > 0).then((found) => found[0]!);

  for (const level of [4, 5] as const) {
    const version = level === 4 ? "3.1.1" : "5";
    for (const qos of [1, 2] as const) {
      it(`brings a publish of QoS ${qos} in MQTT ${version} to RocketMQ, with the properties of the product`, async () => {
        const { stack } = parts();
        const name = `up-${level}-${qos}`;
        const device = await Device.connect(stack, name, { level, ingress: qos - 1 });
        const text = randomUUID();
        const answer = await device.publish({ topic: "demo/room/7", payload: text, qos });
        expect(answer!.reasonCode ?? 0).toBe(0);
        const { properties } = await arrived(text);
        expect(properties).toMatchObject({ mqttSecondTopic: "/room/7", clientId: clientIdOf(name), qoslevel: String(qos), cleansessionflag: "true", topic: "demo" });
        expect(properties["traceparent"]).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
        await device.leave();
      });
    }

    it(`takes QoS 0 in MQTT ${version} without an answer; a rule that does not ask for it brings none of it to RocketMQ`, async () => {
      const { stack } = parts();
      const [listener, device] = [await Device.connect(stack, `up0-listener-${level}`), await Device.connect(stack, `up0-${level}`, { level })];
      await listener.subscribe("demo/zero");
      const [text, marker] = [randomUUID(), randomUUID()];
      await device.publish({ topic: "demo/zero", payload: text });
      await listener.until("the QoS 0 message", (got) => got.some((each) => each.text === text));
      await device.publish({ topic: "demo/zero", payload: marker, qos: 1 });
      await arrived(marker);
      expect(parts().uplink.some(({ body }) => body.toString() === text)).toBe(false);
      await Promise.all([listener.leave(), device.leave()]);
    });
  }

  it("tells RocketMQ of a persistent session, a bare parent topic, MQTT 5 properties and the trace of the publisher", async () => {
    const { stack } = parts();
    const device = await Device.connect(stack, "up-props", { level: 5, clean: false });
    const text = randomUUID();
    const userProperty = [["traceparent", TRACEPARENT], ["site", "north"], ["site", "south"], ["KEYS", "reserved"], ["empty", ""]] as const;
    const properties = { userProperty, responseTopic: "demo/answers", correlationData: Buffer.from("c-1"), contentType: "text/plain", messageExpiryInterval: 500 };
    expect((await device.publish({ topic: "demo", payload: text, qos: 1, properties }))!.reasonCode).toBe(0);
    const message = await arrived(text);
    expect(message.properties).toMatchObject({
      cleansessionflag: "false",
      site: "south",
      "mqtt5-response-topic": "demo/answers",
      "mqtt5-correlation-data": Buffer.from("c-1").toString("base64"),
      "mqtt5-content-type": "text/plain",
      empty: "%",
      "mqtt5-encoded": "empty",
    });
    expect(Number(message.properties["mqtt5-expiry"])).toBeGreaterThan(450);
    expect(message.properties["traceparent"]!.slice(3, 35)).toBe(TRACE);
    expect(message.properties).not.toHaveProperty("mqttSecondTopic");
    expect(message.properties).not.toHaveProperty("KEYS");
    await device.leave();
  });

  it("delivers a RocketMQ message live by its second topic, with its user properties, to subscribers of both ingresses", async () => {
    const { stack, business } = parts();
    const [old, five] = [await Device.connect(stack, "down-4"), await Device.connect(stack, "down-5", { level: 5, ingress: 1 })];
    await old.subscribe({ filter: "demo/down/#", qos: 1 });
    await five.subscribe({ filter: "demo/down/+", qos: 2 });
    const text = randomUUID();
    await business.send(stack.topics.demoDown, text, { mqttSecondTopic: "/down/4", qoslevel: "2", colour: "red", traceparent: TRACEPARENT });
    const [got] = await old.until("the message", (all) => all.length > 0);
    expect(got).toMatchObject({ topic: "demo/down/4", text, qos: 1, dup: false });
    const [got5] = await five.until("the message", (all) => all.length > 0);
    expect(got5).toMatchObject({ topic: "demo/down/4", text, qos: 2 });
    expect(got5!.packet.properties!.userProperty).toContainEqual(["colour", "red"]);
    await Promise.all([old.leave(), five.leave()]);
  });

  it("delivers a RocketMQ message without properties on the bare parent topic at QoS 1", async () => {
    const { stack, business } = parts();
    const device = await Device.connect(stack, "down-bare");
    await device.subscribe({ filter: "demo", qos: 2 });
    const text = randomUUID();
    await business.send(stack.topics.demoDown, text);
    const got = await device.until("the message", (all) => all.some((each) => each.text === text));
    expect(got.find((each) => each.text === text)).toMatchObject({ topic: "demo", qos: 1 });
    await device.leave();
  });

  it("delivers a RocketMQ message P2P by its second topic, shown with its real topic when the sender gave one", async () => {
    const { stack, business } = parts();
    const device = await Device.connect(stack, "down-p2p", { ingress: 1 });
    const [plain, dressed] = [randomUUID(), randomUUID()];
    await business.send(stack.topics.demoDown, plain, { mqttSecondTopic: `/p2p/${device.clientId}` });
    await business.send(stack.topics.demoDown, dressed, { mqttSecondTopic: `/p2p/${device.clientId}`, mqttRealTopic: "demo/private" });
    const got = await device.until("both messages", (all) => all.length >= 2);
    expect(got.find(({ text }) => text === plain)).toMatchObject({ topic: `demo/p2p/${device.clientId}`, qos: 1 });
    expect(got.find(({ text }) => text === dressed)).toMatchObject({ topic: "demo/private" });
    await device.leave();
  });

  it("keeps a RocketMQ message for a persistent session that is away", async () => {
    const { stack, business } = parts();
    const first = await Device.connect(stack, "down-away", { clean: false });
    await first.subscribe({ filter: "demo/kept/#", qos: 1 });
    await first.leave();
    const [live, p2p, forgotten] = [randomUUID(), randomUUID(), randomUUID()];
    const delivered = () => metric(stack, "router", "hawser_rocketmq_received_messages_total", { rule: "demo-in", outcome: "delivered" });
    const before = await delivered();
    await business.send(stack.topics.demoDown, live, { mqttSecondTopic: "/kept/1" });
    await business.send(stack.topics.demoDown, forgotten, { mqttSecondTopic: `/p2p/${first.clientId}` });
    await business.send(stack.topics.demoDown, p2p, { mqttSecondTopic: `/p2p/${first.clientId}`, cleansessionflag: "false" });
    await until("all three taken from RocketMQ", delivered, (count) => count >= before + 3);
    const again = await Device.connect(stack, "down-away", { clean: false, ingress: 1 });
    expect(again.connack.sessionPresent).toBe(true);
    await again.until("both stored messages", (all) => [live, p2p].every((text) => all.some((each) => each.text === text)));
    expect(again.texts()).not.toContain(forgotten);
    await again.leave();
  });
}
