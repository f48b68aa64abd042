/** REST over real HTTP; the owner behind it is played by the test. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { commandError, isUuid, newUuidV7, uuidV5 } from "@hawser/csg-protocol";
import type { Ask } from "../src/asks.ts";
import type { CommandView } from "@hawser/command-engine";
import type { GatewayAsker } from "../src/gateway-asker.ts";
import { RestServer } from "../src/rest-server.ts";

const TOKEN = "a secret";
let server: RestServer;
let asked: { ask: Ask; body: string }[];
let answer: (ask: Ask) => object;

function view(more: Partial<CommandView>): CommandView {
  return {
    id: newUuidV7(),
    gateway: "gw-1",
    group: "GID_gateway",
    method: "gateway.ping",
    lane: "query",
    state: "SENT",
    attempt: 1,
    code: null,
    result: null,
    error: null,
    progress: null,
    traceId: null,
    createdAt: 1,
    history: [],
    ...more,
  };
}

beforeEach(async () => {
  asked = [];
  const asker = {
    ask: async (ask: Ask, body?: Buffer) => {
      asked.push({ ask, body: body?.toString() ?? "" });
      return answer(ask);
    },
    waitFinal: async (_gateway: string, _id: string, _waitMs: number, begin: () => Promise<CommandView>) => ({ ...(await begin()), state: "SUCCEEDED" }),
  } as unknown as GatewayAsker;
  server = new RestServer({
    host: "127.0.0.1",
    port: 0,
    token: TOKEN,
    maxWaitMs: 1_000,
    defaultInstance: "default",
    gatewayGroup: (instance) => (instance === "default" ? "GID_gateway" : undefined),
    asker,
  });
  await server.start();
});

afterEach(() => server.stop());

async function call(method: string, path: string, body?: object | string, headers: Record<string, string> = {}): Promise<{ status: number; json: Record<string, unknown>; headers: Headers }> {
  const response = await fetch(`http://127.0.0.1:${server.port}${path}`, {
    method,
    headers: { authorization: `Bearer ${TOKEN}`, ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  return { status: response.status, json: (await response.json()) as Record<string, unknown>, headers: response.headers };
}

describe("REST", () => {
  it("without the right token everything is refused", async () => {
    for (const authorization of ["", "Bearer wrong", "Basic YTpi", `Bearer ${TOKEN}x`]) {
      const { status, json, headers } = await call("GET", "/v1/gateways/gw-1", undefined, { authorization });
      expect([status, json.code, headers.get("content-type"), headers.get("www-authenticate")]).toEqual([401, "UNAUTHENTICATED", "application/problem+json", "Bearer"]);
    }
    expect(asked).toEqual([]);
  });

  it("a submit is asked of the gateway's owner; 202 with a Location while it is under way", async () => {
    answer = (ask) => ({ ok: true, value: { command: view({ id: (ask as { id: string }).id }) } });
    const { status, json, headers } = await call("POST", "/v1/gateways/gw-1/commands", { method: "gateway.ping", params: { payload: 1 }, queueTtlMs: 5 });
    expect(status).toBe(202);
    expect(isUuid(String(json.id))).toBe(true);
    expect(headers.get("location")).toBe(`/v1/commands/${String(json.id)}?gateway=gw-1&group=GID_gateway`);
    expect(asked).toMatchObject([{ ask: { op: "submit", clientId: "GID_gateway@@@gw-1", instance: "default", replyTopic: "", queueTtlMs: 5 }, body: '{"payload":1}' }]);
  });

  it("Prefer: wait gives the final state with 200", async () => {
    answer = () => ({ ok: true, value: { command: view({}) } });
    const { status, json } = await call("POST", "/v1/gateways/gw-1/commands", { method: "gateway.ping" }, { prefer: "respond-async, wait=5" });
    expect([status, json.state]).toEqual([200, "SUCCEEDED"]);
  });

  it("the same Idempotency-Key is the same command, a UUID is the id itself", async () => {
    answer = (ask) => ({ ok: true, value: { command: view({ id: (ask as { id: string }).id }) } });
    const id = newUuidV7();
    const submit = async (key: string): Promise<unknown> => (await call("POST", "/v1/gateways/gw-1/commands", { method: "m" }, { "idempotency-key": key })).json.id;
    expect(await submit("order 66".replace(" ", "-"))).toBe(uuidV5("order-66"));
    expect(await submit(id.toUpperCase())).toBe(id);
    expect((await call("POST", "/v1/gateways/gw-1/commands", { method: "m" }, { "idempotency-key": "x".repeat(65) })).status).toBe(400);
  });

  it("what the owner refuses is a problem with the status of its code", async () => {
    const refusals = [
      [{ ok: true, value: { error: commandError("METHOD_UNKNOWN", "no") } }, 501],
      [{ ok: true, value: { error: commandError("ID_REUSED", "no") } }, 409],
      [{ ok: true, value: { command: view({ state: "REJECTED", attempt: 0, error: commandError("GATEWAY_NOT_FOUND", "no") }) } }, 404],
      [{ ok: true, value: { command: view({ state: "REJECTED", attempt: 0, error: commandError("GATEWAY_OFFLINE", "no") }) } }, 503],
      [{ ok: false, error: commandError("OWNER_UNAVAILABLE", "no") }, 503],
    ] as const;
    for (const [given, expected] of refusals) {
      answer = () => given;
      const { status, headers } = await call("POST", "/v1/gateways/gw-1/commands", { method: "m" });
      expect([status, headers.get("content-type")]).toEqual([expected, "application/problem+json"]);
    }
  });

  it("a bad body, an unknown member, an unknown path are problems, too", async () => {
    expect(await call("POST", "/v1/gateways/gw-1/commands", "{")).toMatchObject({ status: 400, json: { code: "INVALID_ARGUMENT" } });
    expect(await call("POST", "/v1/gateways/gw-1/commands", { method: "m", parms: {} })).toMatchObject({ status: 400, json: { reason: "REQUEST_INVALID" } });
    expect(await call("GET", "/v1/nothing")).toMatchObject({ status: 404 });
    expect(await call("GET", `/v1/commands/${newUuidV7()}`)).toMatchObject({ status: 400 });
    expect(await call("GET", "/v1/gateways/gw-1?instance=other")).toMatchObject({ status: 404, json: { reason: "GATEWAY_NOT_FOUND" } });
  });

  it("gets, lists and cancels by asking the owner", async () => {
    const command = view({});
    answer = (ask) => ({ ok: true, value: ask.op === "list" ? { known: true, commands: [command] } : ask.op === "gateway" ? { known: true, gateway: { id: "gw-1", state: "online" } } : { command } });
    expect((await call("GET", `/v1/commands/${command.id}?gateway=gw-1`)).json.id).toBe(command.id);
    expect((await call("POST", `/v1/commands/${command.id}/cancel?gateway=gw-1`)).json.id).toBe(command.id);
    expect((await call("GET", "/v1/gateways/gw-1/commands?limit=5")).json.commands).toHaveLength(1);
    expect((await call("GET", "/v1/gateways/gw-1")).json).toEqual({ id: "gw-1", state: "online" });
    expect(asked.map(({ ask }) => ask.op)).toEqual(["get", "cancel", "list", "gateway"]);
    answer = () => ({ ok: true, value: { known: false, commands: [], missing: true, gateway: {} } });
    for (const path of [`/v1/commands/${command.id}?gateway=gw-1`, "/v1/gateways/gw-1/commands", "/v1/gateways/gw-1"]) expect((await call("GET", path)).status).toBe(404);
  });
});
