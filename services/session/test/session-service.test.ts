import { decodeCheckpoint } from "@hawser/inbox";
import { startNatsServer, type NatsServer } from "@hawser/testkit";
import { actorToken, buckets, decodeLogEntry, decodePresenceEvent, RecordKind, shardOf, streams, subjects, type Receipt } from "@hawser/wire";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FakeIngress, FakeRouter, INSTANCE, prepare, SHARDS, startMember, until, type FakeConnection, type RunningMember } from "./fakes.ts";

let server: NatsServer;
let one: FakeIngress;
let two: FakeIngress;
let router: FakeRouter;
let members: RunningMember[] = [];
const presence: { partition: number; type: string; channelId: string; clientId: string }[] = [];
let serial = 0;
const client = (): string => `GID_demo@@@c${++serial}`;
const shard = (clientId: string): number => shardOf(INSTANCE, clientId, SHARDS);
const texts = (connection: FakeConnection): string[] => connection.deliveries.map(({ text }) => text);
const ofChannel = (connection: FakeConnection): string[] => presence.filter(({ channelId }) => channelId === connection.request.channelId).map(({ type }) => type);
const ownerOf = (clientId: string): RunningMember => members.find(({ name }) => name === one.directory.owner(shard(clientId))?.member)!;

beforeAll(async () => {
  server = await startNatsServer();
  await prepare(server.url);
  one = await FakeIngress.start(server.url, "ingress-0");
  two = await FakeIngress.start(server.url, "ingress-1");
  router = await FakeRouter.start(server.url);
  for (let partition = 0; partition < 2; partition++) {
    one.bus.subscribe(subjects.log(partition), ({ data }) => {
      for (const record of decodeLogEntry(data).records) if (record.kind === RecordKind.presence) presence.push({ partition, ...decodePresenceEvent(record.body) });
    });
  }
  members = [await startMember(server.url, "session-0"), await startMember(server.url, "session-1")];
  await until(() => new Set(Array.from({ length: SHARDS }, (_, at) => one.directory.owner(at)?.member)).size === 2 && members.every((each) => each.notReady() === null), "both own shards");
}, 20_000);

afterAll(async () => {
  for (const member of members) await member.stop();
  for (const each of [one, two, router]) await each.stop();
  await server.stop();
});

describe("takeover", () => {
  it("a second CONNECT with the same Client ID closes the first, on whichever ingress", async () => {
    const id = client();
    const first = await one.connect(id);
    const second = await two.connect(id);
    expect(first.closed).toBe("takeover");
    expect(second.grant).toMatchObject({ ok: true, sessionPresent: false });
    expect(await one.query(id)).toMatchObject({ state: "online", ingress: two.member, sequence: second.sequence });
  });

  it("waits for an ingress that does not answer until it is dead", async () => {
    const id = client();
    const stubborn = await FakeIngress.start(server.url, "ingress-7");
    await stubborn.connect(id);
    stubborn.obedient = false;
    let granted = false;
    const second = two.connect(id).then((connection) => ((granted = true), connection));
    expect(await two.query(id)).toMatchObject({ state: "online", ingress: stubborn.member });
    expect(granted).toBe(false);
    await stubborn.bus.nc.close();
    expect((await second).grant?.ok).toBe(true);
  });

  it("presence is connect, disconnect, tcpclean per channel, and the old channel ends before the new begins", async () => {
    const id = client();
    const first = await one.connect(id);
    const second = await two.connect(id);
    await two.close(second);
    await until(() => ofChannel(second).includes("tcpclean"));
    expect(presence.filter(({ clientId }) => clientId === id).map(({ type, channelId }) => [type, channelId])).toEqual([
      ["connect", first.request.channelId],
      ["tcpclean", first.request.channelId],
      ["connect", second.request.channelId],
      ["disconnect", second.request.channelId],
      ["tcpclean", second.request.channelId],
    ]);
  });

  it("the connections of a dead ingress are gone, and that is told", async () => {
    const id = client();
    const doomed = await FakeIngress.start(server.url, "ingress-8");
    const connection = await doomed.connect(id);
    await doomed.bus.nc.close();
    await until(() => ofChannel(connection).includes("tcpclean"), "tcpclean");
    expect(await one.query(id)).toMatchObject({ state: "none" });
  });
});

describe("the stream of the inboxes", () => {
  it("entries nobody wants any more leave the stream", async () => {
    const left = async (): Promise<number> => {
      const info = await one.bus.jsm.streams.info(streams.inbox, { subjects_filter: subjects.inbox(0) });
      return info.state.subjects?.[subjects.inbox(0)] ?? 0;
    };
    for (let at = 0; at < 3; at++) await router.append(0, { topic: "nobody", text: "x" });
    expect(await left()).toBeGreaterThan(0);
    await until(async () => (await left()) === 0, "trimmed");
  });
});

describe("P2P", () => {
  it("is handed to a receiver that is there, offline to one that is not", async () => {
    const id = client();
    expect(await one.p2p(id, "early", { storable: true })).toEqual({ ok: true, state: "offline" });
    const connection = await two.connect(id);
    const sent = Array.from({ length: 20 }, (_, at) => `m${at}`);
    const outcomes = await Promise.all(sent.map((text) => one.p2p(id, text, { storable: true, receiptTo: "r.x" })));
    expect(outcomes).toEqual(sent.map(() => ({ ok: true, state: "handed" })));
    expect(texts(connection)).toEqual(sent);
    expect(connection.deliveries[3]).toMatchObject({ position: 0, qos: 1, redelivery: false, receiptTo: "r.x", token: "m3" });
    await two.close(connection);
    expect(await one.p2p(id, "late")).toEqual({ ok: true, state: "offline" });
  });

  it("is stored for a persistent session that is away, if the sender wants it, and the receipt says so", async () => {
    const id = client();
    const received: Receipt[] = [];
    one.bus.subscribe("r.stored", ({ data }) => void received.push(JSON.parse(data.toString()) as Receipt));
    const first = await one.persistent(id);
    await one.close(first);
    expect(await two.p2p(id, "a", { storable: true, receiptTo: "r.stored" })).toEqual({ ok: true, state: "stored" });
    expect(await two.p2p(id, "not", { storable: false, receiptTo: "r.stored" })).toEqual({ ok: true, state: "offline" });
    expect(await two.p2p(id, "nor", { storable: true, qos: 0, receiptTo: "r.stored" })).toEqual({ ok: true, state: "offline" });
    expect(await two.p2p(id, "b", { storable: true })).toEqual({ ok: true, state: "stored" });
    await until(() => received.length === 3, "receipts");
    expect(received).toEqual([
      { token: "a", state: "stored" },
      { token: "not", state: "offline" },
      { token: "nor", state: "offline" },
    ]);
    const back = await two.persistent(id);
    expect(back.grant?.sessionPresent).toBe(true);
    await until(() => back.deliveries.length === 2, "stored messages");
    expect(texts(back)).toEqual(["a", "b"]);
  });

  it("for a persistent session that is there goes by the inbox, with its receipt", async () => {
    const id = client();
    const connection = await one.persistent(id);
    expect(await two.p2p(id, "x", { storable: true, receiptTo: "r.y" })).toEqual({ ok: true, state: "stored" });
    await until(() => connection.deliveries.length === 1);
    expect(connection.deliveries[0]).toMatchObject({ text: "x", receiptTo: "r.y", token: "x" });
    expect(connection.deliveries[0]!.position).toBeGreaterThan(0);
  });

  it("to a connection its ingress no longer has is offline", async () => {
    const id = client();
    const connection = await one.connect(id);
    one.connections.delete(connection.number);
    expect(await two.p2p(id, "x")).toEqual({ ok: true, state: "offline" });
  });
});

describe("persistent sessions", () => {
  it("SUBACK waits until every router knows the filter", async () => {
    const id = client();
    const connection = await one.persistent(id);
    const late = await FakeRouter.start(server.url, "router-1");
    await until(() => members.every(({ board }) => board.members("router").filter(({ state }) => state === "ready").length === 2), "both routers are known");
    late.slow = true;
    let answered = false;
    const suback = one.subscribe(connection, `slow/${serial}`).then((answer) => ((answered = true), answer));
    await until(() => router.filters.get(String(shard(id)))?.some(([, filter]) => filter === `slow/${serial}`) ?? false, "the other router knows");
    expect(answered).toBe(false);
    late.board.setVersion("filters", 1_000_000);
    expect(await suback).toEqual({ ok: true });
    await late.stop();
  });

  it("a router that leaves is not waited for", async () => {
    const connection = await one.persistent(client());
    const late = await FakeRouter.start(server.url, "router-2");
    late.slow = true;
    const suback = one.subscribe(connection, `left/${serial}`);
    await late.stop();
    expect(await suback).toEqual({ ok: true });
  });

  it("what came while it was away is there on return, in order, once", async () => {
    const id = client();
    const topic = `t${serial}`;
    const first = await one.persistent(id);
    await one.subscribe(first, `${topic}/#`, `${topic}/+`);
    await one.close(first);
    for (let at = 0; at < 40; at++) await router.append(shard(id), { topic: `${topic}/a`, text: `${at}a` }, { topic: `${topic}/b`, text: `${at}b` }, { topic: "other", text: "no" });
    const back = await two.persistent(id);
    expect(back.grant?.subscriptions.map(({ filter }) => filter)).toEqual([`${topic}/#`, `${topic}/+`]);
    const expected = Array.from({ length: 40 }, (_, at) => [`${at}a`, `${at}b`]).flat();
    let acknowledged = 0;
    await until(() => {
      for (; acknowledged < back.deliveries.length; acknowledged++) two.acknowledge(back, back.deliveries[acknowledged]!.position);
      return back.deliveries.length >= expected.length;
    }, "the whole queue");
    expect(texts(back)).toEqual(expected);
    expect(back.deliveries.every(({ redelivery, qos }) => !redelivery && qos === 1)).toBe(true);
    await until(async () => (await one.query(id)).queued === 0);
  });

  it("what was sent and not acknowledged is sent again to the next connection, marked", async () => {
    const id = client();
    const topic = `again${serial}`;
    const first = await one.persistent(id);
    await one.subscribe(first, topic);
    await router.append(shard(id), { topic, text: "a" }, { topic, text: "b" });
    await until(() => first.deliveries.length === 2);
    one.acknowledge(first, first.deliveries[0]!.position);
    await until(async () => (await one.query(id)).queued === 1);
    const second = await two.persistent(id);
    await until(() => second.deliveries.length === 1);
    expect(second.deliveries[0]).toMatchObject({ text: "b", redelivery: true });
  });

  it("a clean start ends it, and nothing of it is left", async () => {
    const id = client();
    const topic = `gone${serial}`;
    const first = await one.persistent(id);
    await one.subscribe(first, topic);
    await one.close(first);
    await router.append(shard(id), { topic, text: "a" });
    const clean = await one.connect(id);
    expect(clean.grant).toMatchObject({ sessionPresent: false, subscriptions: [] });
    await one.close(clean);
    expect(await one.query(id)).toMatchObject({ state: "none" });
    await until(() => !(router.filters.get(String(shard(id))) ?? []).some(([, filter]) => filter === topic), "the filter is gone");
  });
});

describe("an owner that dies", () => {
  it("leaves sessions, queues and acknowledgements to the next, and connections are kept", async () => {
    const id = client();
    const topic = `crash${serial}`;
    const away = await one.persistent(id);
    await one.subscribe(away, `${topic}/#`);
    await router.append(shard(id), ...["a", "b", "c", "d"].map((text) => ({ topic: `${topic}/x`, text })));
    await until(() => away.deliveries.length === 4);
    one.acknowledge(away, away.deliveries[0]!.position, away.deliveries[2]!.position);
    await until(async () => (await one.query(id)).queued === 2);
    await one.close(away, false);
    const others = Array.from({ length: 200 }, client).filter((other) => shard(other) === shard(id)).slice(0, 3);
    const live = await Promise.all(others.map((other) => two.connect(other)));
    const positions = one.bus.kv(buckets.positions);
    await until(async () => {
      const stored = decodeCheckpoint((await positions.get(String(shard(id))))!.value);
      return stored.sessions.find(({ token }) => token === actorToken(INSTANCE, id))?.pending.length === 2;
    }, "the acknowledgements are in the checkpoint");
    const owner = ownerOf(id);
    const epoch = one.directory.owner(shard(id))!.epoch;
    await owner.crash();
    await router.append(shard(id), { topic: `${topic}/x`, text: "e" });
    const back = await two.persistent(id);
    expect(one.directory.owner(shard(id))!.epoch).toBeGreaterThan(epoch);
    expect(back.grant?.sessionPresent).toBe(true);
    await until(() => back.deliveries.length === 3, "the rest of the queue");
    expect(texts(back)).toEqual(["b", "d", "e"]);
    expect(back.deliveries.map(({ redelivery }) => redelivery)).toEqual([true, true, false]);
    expect(live.map(({ closed }) => closed)).toEqual([null, null, null]);
    for (const [at, other] of others.entries()) expect(await one.query(other)).toMatchObject({ state: "online", sequence: live[at]!.sequence });
    expect(await one.p2p(others[0]!, "still there")).toEqual({ ok: true, state: "handed" });
    for (const each of live) expect(ofChannel(each)).toEqual(["connect"]);
    members = members.filter((member) => member !== owner);
    members.push(await startMember(server.url, "session-2"));
    await until(() => members.every((member) => member.notReady() === null) && members.every((member) => member.service.owned.length > 0), "shards are shared again");
  }, 15_000);

  it("a drain hands everything over exactly, and what closed meanwhile is told by its ingress", async () => {
    const id = client();
    const topic = `drain${serial}`;
    const connection = await one.persistent(id);
    await one.subscribe(connection, topic);
    await router.append(shard(id), { topic, text: "a" }, { topic, text: "b" });
    await until(() => connection.deliveries.length === 2);
    one.acknowledge(connection, connection.deliveries[0]!.position);
    await one.close(connection);
    const other = Array.from({ length: 200 }, client).find((each) => shard(each) === shard(id))!;
    const closing = await two.connect(other);
    const owner = ownerOf(id);
    const stopped = owner.stop();
    await two.close(closing);
    await stopped;
    members = members.filter((member) => member !== owner);
    const back = await two.persistent(id);
    await until(() => back.deliveries.length > 0);
    expect(texts(back)).toEqual(["b"]);
    await until(() => ofChannel(closing).includes("tcpclean"));
    expect(ofChannel(closing)).toEqual(["connect", "disconnect", "tcpclean"]);
  }, 15_000);
});

describe("nats-server away", () => {
  it("connections stay, what could not be sent is sent afterwards, and everything works again", async () => {
    const id = client();
    const topic = `away${serial}`;
    const connection = await one.persistent(id);
    await one.subscribe(connection, topic);
    await server.kill();
    await until(() => !one.bus.connected && members.every(({ bus }) => !bus.connected));
    await server.restart();
    await until(() => router.bus.connected && members.every((member) => member.notReady() === null), "ready again");
    await router.append(shard(id), { topic, text: "a" });
    await until(() => connection.deliveries.length > 0, "delivered");
    expect(texts(connection)[0]).toBe("a");
    const second = await two.persistent(id);
    expect([second.grant?.sessionPresent, connection.closed]).toEqual([true, "takeover"]);
  }, 20_000);
});
