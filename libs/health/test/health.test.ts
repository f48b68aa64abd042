import { afterEach, describe, expect, test } from "vitest";
import { type Health, startHealth } from "../src/index.ts";

const registry = { contentType: "text/plain; version=0.0.4; charset=utf-8", metrics: () => Promise.resolve("m 1\n") };
let health: Health | null = null;
afterEach(async () => {
  await health?.close();
  health = null;
});

async function start(ready: () => string | null = () => null, source: { contentType: string; metrics(): Promise<string> } = registry) {
  health = await startHealth({ host: "127.0.0.1", port: 0, ready, registry: source });
  const url = `http://127.0.0.1:${health.port}`;
  return async (path: string, method = "GET") => {
    const response = await fetch(url + path, { method });
    return { status: response.status, text: await response.text(), type: response.headers.get("content-type") };
  };
}

describe("the probes", () => {
  test("ready follows the service and says why not; live does not", async () => {
    let reason: string | null = "NATS is away";
    const get = await start(() => reason);
    expect(await get("/ready")).toMatchObject({ status: 503, text: "NATS is away\n" });
    expect(await get("/live")).toMatchObject({ status: 200 });
    reason = null;
    expect(await get("/ready?x=1")).toMatchObject({ status: 200, text: "ok\n" });
  });

  test("metrics come from the registry", async () => {
    const get = await start();
    expect(await get("/metrics")).toEqual({ status: 200, text: "m 1\n", type: registry.contentType });
  });

  test("a registry that fails is an answer, not the end", async () => {
    const get = await start(() => null, { contentType: "text/plain", metrics: () => Promise.reject(new Error("broken gauge")) });
    expect(await get("/metrics")).toMatchObject({ status: 500, text: "broken gauge\n" });
    expect(await get("/live")).toMatchObject({ status: 200 });
  });

  test("other paths and methods are refused", async () => {
    const get = await start();
    expect((await get("/")).status).toBe(404);
    expect((await get("/live", "POST")).status).toBe(405);
    expect(await get("/live", "HEAD")).toMatchObject({ status: 200, text: "" });
  });

  test("a taken port is one clear error", async () => {
    await start();
    await expect(startHealth({ host: "127.0.0.1", port: health!.port, ready: () => null, registry })).rejects.toMatchObject({
      code: "HAWSER_E_PORT_TAKEN",
      message: `health.port: 127.0.0.1:${health!.port} is taken by another program`,
    });
  });
});
