/** Between MQTT clients: fan-out, P2P, takeover, persistent sessions, presence, TLS. */
import { randomUUID } from "node:crypto";
import { expect, it } from "vitest";
import { clientIdOf, Device } from "../kit/device.ts";
import { until } from "../kit/until.ts";
import type { PartsNow } from "./parts.ts";

interface StatusBody {
  readonly clientId: string;
  readonly time: number;
  readonly eventType: string;
  readonly channelId: string;
  readonly clientIp: string;
}

export function sessionPaths(parts: PartsNow): void {
  const eventsOf = (clientId: string): StatusBody[] => parts().presence.map(({ body }) => JSON.parse(body.toString()) as StatusBody).filter((event) => event.clientId === clientId);

  it("fans out live across ingresses, once per client at the highest QoS of its overlapping filters", async () => {
    const { stack } = parts();
    const near = await Device.connect(stack, "fan-near");
    const far = await Device.connect(stack, "fan-far", { ingress: 1 });
    await near.subscribe({ filter: "demo/fan/#", qos: 0 }, { filter: "demo/fan/+", qos: 2 }, { filter: "demo/fan/a", qos: 1 });
    await far.subscribe({ filter: "demo/fan/a", qos: 1 }, { filter: "demo/+/a", qos: 0 });
    const sender = await Device.connect(stack, "fan-sender", { ingress: 1 });
    const texts = Array.from({ length: 10 }, (_, at) => `fan ${at}`);
    for (const text of texts) await sender.publish({ topic: "demo/fan/a", payload: text, qos: 2 });
    await sender.publish({ topic: "demo/fan/a", payload: "end", qos: 1 });
    for (const [device, qos] of [[near, 2], [far, 1]] as const) {
      const got = await device.until("the last message", (all) => all.some(({ text }) => text === "end"));
      expect(got.map(({ text }) => text)).toEqual([...texts, "end"]);
      expect(got.slice(0, 10).map((each) => each.qos)).toEqual(texts.map(() => qos));
    }
    await Promise.all([near.leave(), far.leave(), sender.leave()]);
  });

  it("lets the newest connection of a Client ID win across ingress processes, and tells an MQTT 5 client", async () => {
    const { stack } = parts();
    const first = await Device.connect(stack, "twice", { level: 5 });
    const second = await Device.connect(stack, "twice", { ingress: 1 });
    await until("the first connection closed", () => first.gone, (gone) => gone);
    expect(first.disconnect?.reasonCode).toBe(0x8e);
    const third = await Device.connect(stack, "twice", { level: 5 });
    await until("the second connection closed", () => second.gone, (gone) => gone);
    await third.ping();
    expect(third.gone).toBe(false);
    await third.leave();
  });

  it("delivers P2P messages to a receiver on another ingress, keeps those of a persistent sender, and forgets the others", async () => {
    const { stack } = parts();
    const receiver = await Device.connect(stack, "p2p-to", { clean: false });
    const topic = `demo/p2p/${receiver.clientId}`;
    const fleeting = await Device.connect(stack, "p2p-clean", { ingress: 1, level: 5 });
    const lasting = await Device.connect(stack, "p2p-lasting", { ingress: 1, clean: false, level: 5 });
    const sendBoth = async (payload: string): Promise<(number | undefined)[]> => {
      const answers = [await fleeting.publish({ topic, payload: `fleeting ${payload}`, qos: 1 }), await lasting.publish({ topic, payload: `lasting ${payload}`, qos: 1 })];
      return answers.map((answer) => answer!.reasonCode);
    };
    expect(await sendBoth("1")).toEqual([0, 0]);
    const got = await receiver.until("both messages", (all) => all.length >= 2);
    expect(got.map((each) => each.topic)).toEqual([topic, topic]);
    await receiver.leave();
    await until("the receiver offline", () => sendBoth("2"), ([code]) => code === 0x10);
    const again = await Device.connect(stack, "p2p-to", { clean: false, ingress: 1 });
    await again.until("what was stored", (all) => all.some(({ text }) => text === "lasting 2"));
    expect(again.texts().filter((text) => text.startsWith("fleeting"))).toEqual([]);
    await Promise.all([again.leave(), fleeting.leave(), lasting.leave()]);
  });

  it("returns the messages of a persistent session in order through the other ingress; what was not acknowledged comes again with DUP", async () => {
    const { stack } = parts();
    const away = await Device.connect(stack, "kept", { clean: false });
    expect(away.connack.sessionPresent).toBe(false);
    await away.subscribe({ filter: "demo/mail/#", qos: 1 });
    await away.leave();
    const sender = await Device.connect(stack, "kept-sender", { ingress: 1 });
    const texts = Array.from({ length: 50 }, (_, at) => `mail ${at}`);
    for (const payload of texts) await sender.publish({ topic: "demo/mail/7", payload, qos: 1 });

    const silent = await Device.connect(stack, "kept", { clean: false, ingress: 1, silent: true });
    expect(silent.connack.sessionPresent).toBe(true);
    const firsts = await silent.until("a window", (all) => all.length >= 32);
    expect(firsts.map(({ text }) => text)).toEqual(texts.slice(0, firsts.length));
    expect(firsts.some(({ dup }) => dup)).toBe(false);
    await silent.cut();

    const back = await Device.connect(stack, "kept", { clean: false });
    const got = await back.until("everything", (all) => new Set(all.map(({ text }) => text)).size >= texts.length);
    expect(got.map(({ text }) => text)).toEqual(texts);
    expect(got.map(({ dup }) => dup)).toEqual(texts.map((_, at) => at < firsts.length));
    await back.leave();
    const empty = await Device.connect(stack, "kept", { clean: false, ingress: 1 });
    await sender.publish({ topic: "demo/mail/7", payload: "fresh", qos: 1 });
    await empty.until("only the new one", (all) => all.some(({ text }) => text === "fresh"));
    expect(empty.texts()).toEqual(["fresh"]);
    await Promise.all([empty.leave(), sender.leave()]);
  });

  it("sends a stored QoS 2 message under the same packet id again, and no other message under it, so that the client can tell them apart", async () => {
    const { stack } = parts();
    const first = await Device.connect(stack, "exactly", { clean: false, silent: true });
    await first.subscribe({ filter: "demo/exactly/#", qos: 2 });
    const sender = await Device.connect(stack, "exactly-sender");
    for (const payload of ["a", "b"]) await sender.publish({ topic: "demo/exactly/1", payload, qos: 2 });
    const [a, b] = (await first.until("both", (all) => all.length >= 2)).map(({ packetId }) => packetId!);
    first.raw.send(first.packets.pubrec(a!), first.packets.pubcomp(a!), first.packets.pubrec(b!)); // has b, and never sees its PUBREL
    await first.ping();
    await first.cut();
    await sender.publish({ topic: "demo/exactly/1", payload: "c", qos: 2 });
    const back = await Device.connect(stack, "exactly", { clean: false, ingress: 1 });
    const got = await back.until("the rest", (all) => all.some(({ text }) => text === "c"));
    expect(got.find(({ text }) => text === "b")).toMatchObject({ packetId: b, dup: true });
    expect(got.find(({ text }) => text === "c")!.packetId).not.toBe(b);
    await Promise.all([back.leave(), sender.leave()]);
  });

  it("tells of presence per channel in order: connect, disconnect, tcpclean; a cut connection has no disconnect", async () => {
    const { stack } = parts();
    const polite = await Device.connect(stack, "seen-polite");
    await polite.leave();
    const cut = await Device.connect(stack, "seen-cut", { ingress: 1 });
    await cut.cut();
    const old = await Device.connect(stack, "seen-over");
    const taker = await Device.connect(stack, "seen-over", { ingress: 1 });
    await taker.leave();
    const ended = (clientId: string, count: number) =>
      until(`presence of ${clientId}`, () => eventsOf(clientId), (events) => events.filter(({ eventType }) => eventType === "tcpclean").length >= count);
    const types = (events: readonly StatusBody[]): string[] => [...events].sort((a, b) => a.time - b.time).map(({ eventType }) => eventType);
    expect(types(await ended(polite.clientId, 1))).toEqual(["connect", "disconnect", "tcpclean"]);
    expect(types(await ended(cut.clientId, 1))).toEqual(["connect", "tcpclean"]);
    const over = await ended(old.clientId, 2);
    const channels = [...new Set(over.map(({ channelId }) => channelId))];
    expect(channels).toHaveLength(2);
    for (const channel of channels) {
      const own = types(over.filter(({ channelId }) => channelId === channel));
      expect([own[0], own.at(-1)]).toEqual(["connect", "tcpclean"]);
    }
    expect(over[0]!.clientIp).toMatch(/^127\.0\.0\.1:\d+$/);
    const tags = parts().presence.filter(({ body }) => (JSON.parse(body.toString()) as StatusBody).clientId === polite.clientId).map(({ tag }) => tag);
    expect(new Set(tags)).toEqual(new Set(["connect", "disconnect", "tcpclean"]));
  });

  it("serves MQTT over TLS", async () => {
    const { stack, uplink } = parts();
    const device = await Device.connect(stack, "tls", { tls: true, level: 5 });
    await device.subscribe({ filter: "demo/secret", qos: 1 });
    const text = randomUUID();
    expect((await device.publish({ topic: "demo/secret", payload: text, qos: 1 }))!.reasonCode).toBe(0);
    await device.until("its own message", (all) => all.some((each) => each.text === text));
    const senders = () => uplink.filter(({ body }) => body.toString() === text).map(({ properties }) => properties["clientId"]);
    await until("it in RocketMQ", senders, (all) => all.includes(clientIdOf("tls")));
    await device.leave();
  });
}
