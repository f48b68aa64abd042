import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseSetting } from "@hawser/config";
import { afterAll, afterEach, expect, it } from "vitest";
import { freePort } from "../src/free-port.ts";
import { isAlive } from "../src/lock.ts";
import { Stack } from "../src/stack.ts";
import type { StackOptions } from "../src/stack-options.ts";
import type { StackState } from "../src/stack-state.ts";
import { stackStatus } from "../src/stack-status.ts";

const root = mkdtempSync(join(tmpdir(), "hawser-stack-"));
const fixture = join(import.meta.dirname, "fixtures/service.ts");
let count = 0;
let running: Stack | undefined;

function options(more: Partial<StackOptions> = {}): StackOptions {
  return {
    data: join(root, `${++count}`),
    counts: { ingress: 2, session: 1, router: 1, csgAgent: 1 },
    rocketmq: { kind: "off" },
    plain: false,
    settings: [],
    throwAway: true,
    entryPoint: () => fixture,
    ...more,
  };
}

afterEach(async () => {
  await running?.stop();
  running = undefined;
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

function readState(data: string): StackState {
  return JSON.parse(readFileSync(join(data, "state.json"), "utf8")) as StackState;
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await sleep(20);
}

it("writes state.json when every service is ready, follows restarts in it, and removes it with everything else", async () => {
  const chosen = options();
  running = await Stack.start(chosen);
  const state = readState(chosen.data);
  expect(state).toMatchObject({
    ready: true,
    pids: { ingress: [expect.any(Number), expect.any(Number)], session: [expect.any(Number)], router: [expect.any(Number)], csgAgent: [expect.any(Number)] },
    endpoints: {
      mqtt: [
        { tcp: expect.stringMatching(/^127\.0\.0\.1:\d+$/), tls: expect.stringMatching(/^127\.0\.0\.1:\d+$/) },
        { tcp: expect.any(String), tls: expect.any(String) },
      ],
      nats: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
      rest: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
      metrics: { ingress: [expect.any(String), expect.any(String)] },
    },
    tls: { ca: join(chosen.data, "tls/ca.pem") },
    instance: "default",
    groups: ["GID_demo", "GID_gateway"],
    parents: ["demo", "csgUp", "csgDown", "csgStatus"],
    csg: { group: "GID_gateway", up: "csgUp", down: "csgDown" },
    rules: [{ kind: "actor", parent: "csgUp", service: "csg" }],
    credentials: { accessKeyId: expect.any(String), accessKeySecret: expect.any(String), restToken: expect.any(String) },
  });
  expect(state.endpoints.rocketmq).toBeUndefined();
  expect(state.endpoints.mqtt[0]!.ws).toBeUndefined();

  const victim = state.pids.ingress[1]!;
  process.kill(victim, "SIGKILL");
  await until(() => readState(chosen.data).pids.ingress[1] !== victim);
  expect(readState(chosen.data).pids.ingress[0]).toBe(state.pids.ingress[0]);
  await until(async () => (await stackStatus(chosen.data)).ready);
  const status = await stackStatus(chosen.data);
  expect(status.processes.find(({ name }) => name === "ingress-1")).toMatchObject({ state: "running", restarts: 1, ready: true, lastEnd: "SIGKILL" });

  const pids = Object.values(readState(chosen.data).pids).flat();
  await running.stop();
  expect(existsSync(join(chosen.data, "state.json"))).toBe(false);
  expect(pids.filter(isAlive)).toEqual([]);
  expect(await stackStatus(chosen.data)).toMatchObject({ running: false, processes: [] });
});

it("keeps its credentials and store when it starts again in the same directory", async () => {
  const chosen = options();
  running = await Stack.start(chosen);
  const { credentials } = running.state;
  await running.stop();
  running = await Stack.start(chosen);
  expect(running.state.credentials).toEqual(credentials);
});

it("refuses a directory in which a stack runs", async () => {
  const chosen = options();
  running = await Stack.start(chosen);
  await expect(Stack.start(chosen)).rejects.toThrow(/a stack runs in .* already \(pid \d+\)/);
});

it("names the port that is taken", async () => {
  const basePort = await freePort();
  const other = createServer().listen(basePort + 15, "127.0.0.1");
  await once(other, "listening");
  await expect(Stack.start(options({ basePort }))).rejects.toThrow(`port ${basePort + 15} (ingress 1 tls) is taken by another program`);
  other.close();
});

it("names a setting that is bad together with others, before anything starts", async () => {
  await expect(Stack.start(options({ settings: [parseSetting("shards.selfMs=9000")] }))).rejects.toThrow("shards.selfMs must be less than shards.deadMs");
  await expect(Stack.start(options({ settings: [parseSetting("mqtt.tcpPort=1883")] }))).rejects.toThrow("mqtt.tcpPort cannot be set here: use --base-port");
});

it("says in one line which service does not start and why, and leaves nothing running", async () => {
  const chosen = options({ settings: [parseSetting("logging.level=fatal")] });
  const failure = await Stack.start(chosen).catch((error: Error) => error);
  expect((failure as Error).message).toMatch(/^\S+-\d does not start \(exit 1\): cannot start: the moon is in the wrong house; see .*\.log$/);
  expect(await stackStatus(chosen.data)).toMatchObject({ running: false });
});

it("stops while it starts when it is told to", async () => {
  const chosen = options();
  const abort = new AbortController();
  const starting = Stack.start(chosen, abort.signal);
  abort.abort();
  await expect(starting).rejects.toThrow("stopped while starting");
  expect(existsSync(join(chosen.data, "run.json"))).toBe(false);
});
