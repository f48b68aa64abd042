/** `hawser up` with the real services, without RocketMQ: what outside programs rely on. */
import { execFile, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import type { StackState, StackStatus } from "@hawser/stack";
import { mqttPackets, rawClient } from "@hawser/testkit";
import { afterAll, afterEach, expect, it } from "vitest";

const main = resolve(import.meta.dirname, "../src/main.ts");
const dir = mkdtempSync(join(tmpdir(), "hawser-up-"));
const run = promisify(execFile);
const hawser = (...args: string[]): Promise<{ stdout: string; stderr: string }> => run(process.execPath, [main, ...args]);
let data = "";

afterEach(() => hawser("down", "--data", data));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function state(): StackState {
  return JSON.parse(readFileSync(join(data, "state.json"), "utf8")) as StackState;
}

async function status(): Promise<StackStatus> {
  const { stdout } = await hawser("status", "--data", data, "--json").catch((error: { stdout: string }) => error);
  return JSON.parse(stdout) as StackStatus;
}

function isGone(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z ");
  } catch {
    return true;
  }
}

const port = (address: string): number => Number(address.split(":")[1]);

it("detached: is ready when it returns, serves any client with --plain, restarts what dies, takes a catalogue, and ends on down", async () => {
  data = join(dir, "detached");
  await hawser("up", "--data", data, "--rocketmq", "off", "--plain", "--detach", "--set", "mqtt.maxKeepAliveSeconds=100");
  const first = state();
  const client = await rawClient(port(first.endpoints.mqtt[0]!.tls!), { level: 5, ca: first.tls.ca });
  client.send(mqttPackets(5).connect({ clientId: "any client/at all?", keepAliveSeconds: 300 }));
  expect(await client.next()).toMatchObject({ type: "connack", reasonCode: 0, properties: { serverKeepAlive: 100 } });
  client.destroy();

  process.kill(first.pids.session[0]!, "SIGKILL");
  while (state().pids.session[0] === first.pids.session[0]) await sleep(20);
  while (!(await status()).ready) await sleep(100);
  expect((await status()).processes.find(({ name }) => name === "session-0")).toMatchObject({ state: "running", restarts: 1, ready: true });

  const file = join(dir, "catalog.yaml");
  writeFileSync(file, "instances: [{id: default, groups: [GID_other], parents: [other]}]\n");
  expect((await hawser("apply", "-f", file, "--data", data)).stdout).toBe("instance default: version 2\n");
  while (state().groups[0] !== "GID_other") await sleep(20);

  const pids = Object.values(state().pids).flat();
  await hawser("down", "--data", data);
  expect(existsSync(join(data, "state.json"))).toBe(false);
  expect(pids.filter((pid) => !isGone(pid))).toEqual([]);
}, 60_000);

it("in the foreground: says where everything is, and leaves nothing after Ctrl-C", async () => {
  data = join(dir, "foreground");
  const child = spawn(process.execPath, [main, "up", "--data", data, "--rocketmq", "off"], { stdio: ["ignore", "pipe", "pipe"] });
  let stdout = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  while (!stdout.includes("state.json")) await sleep(20);
  const { endpoints, pids } = state();
  expect(stdout).toMatch(/^ready\n/);
  expect(stdout).toContain(endpoints.mqtt[0]!.tcp);
  child.kill("SIGINT");
  const code = await new Promise((done) => child.once("exit", done));
  expect(code).toBe(0);
  expect(Object.values(pids).flat().filter((pid) => !isGone(pid))).toEqual([]);
}, 60_000);
