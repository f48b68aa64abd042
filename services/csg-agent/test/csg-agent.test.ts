/** The service on a real NATS server. */
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { newUuidV7 } from "@hawser/csg-protocol";
import { FakeGateway, Platform, TOKEN, type RunningAgent } from "./platform.ts";

let platform: Platform;
const wait = { timeout: 8_000, interval: 10 };
let device = 0;

beforeAll(async () => {
  platform = await Platform.start();
  await platform.startAgent();
}, 20_000);

afterAll(() => platform.stop(), 20_000);

afterEach(() => {
  for (const gateway of platform.gateways.values()) gateway.stop();
  platform.gateways.clear();
});

async function online(): Promise<{ name: string; gateway: FakeGateway }> {
  const name = `gw-${++device}`;
  const gateway = new FakeGateway(platform, name);
  await gateway.connect();
  await vi.waitUntil(() => gateway.ready, wait);
  return { name, gateway };
}

const command = (id: string, more: Record<string, string> = {}): Record<string, string> => ({ correlation_id: id, subject: "share.reverseSync", ...more });

describe("a command from RocketMQ", () => {
  it("runs once and is answered accepted, progress, final on its reply topic", async () => {
    const { name, gateway } = await online();
    const id = newUuidV7();
    expect(await platform.submit(name, command(id, { response_required: "progress", dnm_note: "x", reply_topic: "mine" }), { share: "s" })).toMatchObject({ ok: true, outcome: "new" });
    await vi.waitUntil(() => platform.finals(id).length > 0, wait);
    expect(platform.kinds(id)).toEqual(["accepted", "progress", "final"]);
    expect(platform.finals(id)[0]).toMatchObject({ topic: "mine", body: { params: { share: "s" } }, properties: { status: "200", code: "OK", origin: "device", device_id: name, dnm_note: "x" } });
    expect(gateway.runs).toEqual([id]);
  });

  it("that comes twice runs once; with another body it is rejected", async () => {
    const { name, gateway } = await online();
    const id = newUuidV7();
    await Promise.all([platform.submit(name, command(id), { share: "s" }), platform.submit(name, command(id), { share: "s" })]);
    await vi.waitUntil(() => platform.finals(id).length > 0, wait);
    expect(await platform.submit(name, command(id), { share: "other" })).toMatchObject({ ok: true, outcome: "conflict" });
    await vi.waitUntil(() => platform.kinds(id).includes("rejected"), wait);
    expect(gateway.runs).toEqual([id]);
  });

  it("that cannot be one gets a final failure and is answered ok, so that it does not come again", async () => {
    const { name } = await online();
    const cases = [
      [command(newUuidV7()), "{broken", "PARAM_NOT_JSON"],
      [command(newUuidV7(), { subject: "no.method" }), {}, "METHOD_UNKNOWN"],
      [command(newUuidV7()), { share: "s", more: 1 }, "PARAM_INVALID"],
      [command(newUuidV7(), { deadline_ms: "-1" }), { share: "s" }, "NOT_DELIVERED"],
    ] as const;
    for (const [properties, body, reason] of cases) {
      expect(await platform.submit(name, properties, body)).toMatchObject({ ok: true });
      await vi.waitUntil(() => platform.finals(properties.correlation_id!).length > 0, wait);
      expect(platform.finals(properties.correlation_id!)[0]!.properties).toMatchObject({ reason, origin: "platform", content_type: "application/problem+json" });
    }
    const id = newUuidV7();
    await platform.submit("never-seen", command(id), { share: "s" });
    await vi.waitUntil(() => platform.finals(id).length > 0, wait);
    expect(platform.finals(id)[0]).toMatchObject({ properties: { code: "NOT_FOUND", reason: "GATEWAY_NOT_FOUND", status: "404" } });
  });

  it("together with others runs in their order, each with an answer of its own", async () => {
    const { name, gateway } = await online();
    const ids = Array.from({ length: 4 }, () => newUuidV7());
    const bad = newUuidV7();
    const rows = ids.map((id) => [command(id), { share: "s" }] as const);
    const answer = await platform.submitAll(name, [...rows.slice(0, 2), [command(bad), "{broken"], ...rows.slice(2), rows[0]!]);
    const [taken, refused] = [{ ok: true, outcome: "new" }, { ok: true, outcome: "refused" }];
    expect(answer).toMatchObject({ ok: true, answers: [taken, taken, refused, taken, taken, { ok: true, outcome: "repeated" }] });
    await vi.waitUntil(() => ids.every((id) => platform.finals(id).length > 0), wait);
    expect(gateway.runs).toEqual(ids);
  });

  it("for an absent gateway: no queue time fails at once, a short one expires, a long one runs on return", async () => {
    const { name, gateway } = await online();
    await gateway.disconnect();
    const [now, short, long] = [newUuidV7(), newUuidV7(), newUuidV7()];
    await platform.submit(name, command(now, { queue_ttl_ms: "0" }), { share: "s" });
    await platform.submit(name, command(short, { queue_ttl_ms: "300" }), { share: "s" });
    await platform.submit(name, command(long, { queue_ttl_ms: "60000" }), { share: "s" });
    await vi.waitUntil(() => platform.finals(now).length > 0 && platform.finals(short).length > 0, wait);
    expect(platform.finals(now)[0]!.properties).toMatchObject({ code: "UNAVAILABLE", reason: "GATEWAY_OFFLINE" });
    expect(platform.finals(short)[0]!.properties).toMatchObject({ code: "DEADLINE_EXCEEDED", reason: "NOT_DELIVERED" });
    await gateway.connect();
    await vi.waitUntil(() => platform.finals(long).length > 0, wait);
    expect(gateway.runs).toEqual([long]);
  });

  it("answers of a gateway on another gateway's topic, or for another gateway's command, change nothing", async () => {
    const [one, two] = [await online(), await online()];
    const id = newUuidV7();
    let release: () => void = () => undefined;
    one.gateway.work = () => new Promise((resolve) => (release = () => resolve("mine")));
    await platform.submit(one.name, command(id), { share: "s" });
    await vi.waitUntil(() => one.gateway.runs.length > 0, wait);
    const forged = Buffer.from(JSON.stringify({ v: 1, k: "res", id, att: 1, result: "forged" }));
    expect(await platform.uplink(two.name, `csgUp/${one.name}/r`, forged)).toMatchObject({ ok: false, code: "refused" });
    expect(await platform.uplink(two.name, `csgUp/${two.name}/r`, forged)).toMatchObject({ ok: true, ignored: "foreign" });
    release();
    await vi.waitUntil(() => platform.finals(id).length > 0, wait);
    expect(platform.finals(id)[0]!.body).toBe("mine");
  });

  it("an uplink that is no envelope is ignored and answered, so that the gateway is not stuck with it", async () => {
    const { name } = await online();
    expect(await platform.uplink(name, `csgUp/${name}/r`, Buffer.from("hello"))).toMatchObject({ ok: true, ignored: "not-an-envelope" });
  });
});

describe("REST", () => {
  async function rest(agent: RunningAgent, method: string, path: string, body?: object, headers: Record<string, string> = {}): Promise<{ status: number; json: Record<string, unknown> }> {
    const response = await fetch(`${agent.url}${path}`, {
      method,
      headers: { authorization: `Bearer ${TOKEN}`, ...(body ? { "content-type": "application/json" } : {}), ...headers },
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
    return { status: response.status, json: (await response.json()) as Record<string, unknown> };
  }

  it("submits, waits, lists and looks", async () => {
    const { name } = await online();
    const agent = platform.ownerOf(name)!;
    const done = await rest(agent, "POST", `/v1/gateways/${name}/commands`, { method: "gateway.ping", params: { payload: 5 } }, { prefer: "wait=5" });
    expect(done).toMatchObject({ status: 200, json: { state: "SUCCEEDED", result: { params: { payload: 5 } } } });
    const id = String(done.json.id);
    expect(platform.kinds(id)).toEqual([]);
    expect(await rest(agent, "GET", `/v1/commands/${id}?gateway=${name}`)).toMatchObject({ status: 200, json: { id, state: "SUCCEEDED" } });
    expect((await rest(agent, "GET", `/v1/gateways/${name}/commands`)).json.commands).toMatchObject([{ id }]);
    expect((await rest(agent, "GET", `/v1/gateways/${name}`)).json).toMatchObject({ id: name, state: "online", agent: { name: "fake" } });
    expect(await rest(agent, "GET", "/v1/gateways/nobody")).toMatchObject({ status: 404 });
    expect(await rest(agent, "POST", "/v1/gateways/nobody/commands", { method: "gateway.ping" })).toMatchObject({ status: 404, json: { reason: "GATEWAY_NOT_FOUND" } });
  });
});

describe("when the owner dies", () => {
  it("the next one finishes what was under way, and nothing runs twice", async () => {
    const second = await platform.startAgent();
    const { name, gateway } = await online();
    const [ids, releases] = [[newUuidV7(), newUuidV7()], [] as (() => void)[]];
    gateway.work = (_method, params) => new Promise((resolve) => releases.push(() => resolve(params)));
    for (const id of ids) await platform.submit(name, command(id, { response_required: "true" }), { share: id.slice(0, 8) });
    const queued = newUuidV7();
    await platform.submit(name, command(queued), { share: "queued" });
    await vi.waitUntil(() => releases.length > 0, wait);
    const owner = platform.ownerOf(name)!;
    await owner.kill();
    for (const release of releases.splice(0)) release();
    gateway.work = async (_method, params) => params;
    await vi.waitUntil(() => platform.finals(queued).length > 0 && ids.every((id) => platform.finals(id).length > 0), { timeout: 15_000, interval: 20 });
    expect(new Set(gateway.runs).size).toBe(gateway.runs.length);
    for (const id of [...ids, queued]) expect(platform.finals(id)[0]!.properties.code).toBe("OK");
    if (owner === second) return;
    expect(platform.ownerOf(name)).toBe(second);
  }, 25_000);
});
