/** The process: ready, its end, and one clear line when it cannot start. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type NatsServer, startNatsServer } from "@hawser/testkit";

let nats: NatsServer;
const children = new Set<ChildProcess>();

beforeAll(async () => {
  nats = await startNatsServer();
}, 20_000);

afterAll(async () => {
  for (const child of children) child.kill("SIGKILL");
  await nats.stop();
});

interface Started {
  readonly child: ChildProcess;
  readonly out: () => string;
  readonly errors: () => string;
}

function start(env: Record<string, string>): Started {
  const child = spawn(process.execPath, [join(import.meta.dirname, "../src/main.ts")], {
    env: { PATH: process.env.PATH, HAWSER_NATS_URL: nats.url, HAWSER_MEMBER_NAME: "csg-0", HAWSER_CSG_REST_PORT: "0", HAWSER_HEALTH_PORT: "0", HAWSER_LAYOUT_SHARDS: "8", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  children.add(child);
  let [out, errors] = ["", ""];
  child.stdout!.on("data", (data: Buffer) => (out += data.toString()));
  child.stderr!.on("data", (data: Buffer) => (errors += data.toString()));
  return { child, out: () => out, errors: () => errors };
}

describe("the process", () => {
  it("becomes ready, serves metrics, and ends by itself at SIGTERM with 0", async () => {
    const { child, out } = start({});
    const started = await vi.waitUntil(() => /"rest":(\d+),"health":(\d+)/.exec(out()), { timeout: 10_000 });
    const health = `http://127.0.0.1:${started[2]}`;
    await vi.waitUntil(async () => (await fetch(`${health}/ready`)).status === 200, { timeout: 10_000 });
    expect(await (await fetch(`${health}/metrics`)).text()).toContain("process_cpu_seconds_total");
    expect((await fetch(`http://127.0.0.1:${started[1]}/v1/gateways/x`)).status).toBe(401);
    child.kill("SIGTERM");
    expect(await once(child, "exit")).toEqual([0, null]);
  }, 20_000);

  it("with a port that is taken, a bad setting or another layout it ends with one line that says so", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const port = String((server.address() as { port: number }).port);
    const cases = [
      [{ HAWSER_CSG_REST_PORT: port }, /^csg-agent: csg\.restPort: .*taken/],
      [{ HAWSER_CSG_REST_PROT: "1" }, /^csg-agent: .*HAWSER_CSG_REST_PROT/],
      [{ HAWSER_LAYOUT_SHARDS: "16" }, /^csg-agent: .*layout.*shards 8/],
    ] as const;
    for (const [env, line] of cases) {
      const { child, errors } = start(env);
      const [code] = (await once(child, "exit")) as [number];
      expect(code).not.toBe(0);
      expect(errors().trim().split("\n")).toHaveLength(1);
      expect(errors()).toMatch(line);
    }
    server.close();
  }, 30_000);
});
