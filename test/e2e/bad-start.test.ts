/** A process that cannot start says why in one line and ends with another code than 0. */
import { spawn } from "node:child_process";
import { createServer, type AddressInfo, type Server } from "node:net";
import { resolve } from "node:path";
import { guardChild } from "@hawser/stack";
import { type NatsServer, startNatsServer } from "@hawser/testkit";
import { afterAll, beforeAll, expect, it } from "vitest";

const ROOT = resolve(import.meta.dirname, "../..");
let nats: NatsServer;
let taken: Server;
let takenPort = "";

beforeAll(async () => {
  nats = await startNatsServer();
  taken = createServer().listen(0, "127.0.0.1");
  await new Promise((done) => taken.once("listening", done));
  takenPort = String((taken.address() as AddressInfo).port);
});
afterAll(async () => {
  taken.close();
  await nats.stop();
});

interface Ended {
  readonly code: number | null;
  readonly stderr: readonly string[];
}

function run(main: string, args: readonly string[], settings: Readonly<Record<string, string>> = {}): Promise<Ended> {
  const clean = Object.entries(process.env).filter(([name]) => !name.startsWith("HAWSER_"));
  const child = spawn(process.execPath, [resolve(ROOT, main), ...args], { detached: true, stdio: ["ignore", "ignore", "pipe"], env: { ...Object.fromEntries(clean), ...settings } });
  guardChild(child);
  let stderr = "";
  child.stderr!.on("data", (data: Buffer) => (stderr += data.toString()));
  return new Promise((done) => child.once("close", (code) => done({ code, stderr: stderr.split("\n").filter((line) => line !== "") })));
}

function service(name: string, settings: Readonly<Record<string, string>>): Promise<Ended> {
  return run(`services/${name}/src/main.ts`, [], { HAWSER_NATS_URL: nats.url, HAWSER_HEALTH_PORT: "0", HAWSER_MQTT_TCP_PORT: "0", HAWSER_MEMBER_NAME: `${name}-0`, ...settings });
}

const services = ["ingress", "session", "router", "csg-agent"] as const;

it.each(services)("%s refuses a setting it does not know, and one with a value that is not allowed", async (name) => {
  const [unknown, bad] = await Promise.all([service(name, { HAWSER_MQTT_TPC_PORT: "1883" }), service(name, { HAWSER_LAYOUT_SHARDS: "many" })]);
  expect(unknown).toEqual({ code: 1, stderr: [expect.stringContaining("HAWSER_MQTT_TPC_PORT")] });
  expect(bad).toEqual({ code: 1, stderr: [expect.stringMatching(/HAWSER_LAYOUT_SHARDS.*many/)] });
});

const ports: readonly [service: string, setting: string][] = [
  ...services.map((name): [string, string] => [name, "HAWSER_HEALTH_PORT"]),
  ["ingress", "HAWSER_MQTT_TCP_PORT"],
  ["csg-agent", "HAWSER_CSG_REST_PORT"],
];
it.each(ports)("%s names the port that is taken: %s", async (name, setting) => {
  const { code, stderr } = await service(name, { [setting]: takenPort });
  expect(stderr).toEqual([expect.stringContaining(takenPort)]);
  expect(code).toBe(1);
});

it("a service whose NATS is not there says so", async () => {
  const { code, stderr } = await service("session", { HAWSER_NATS_URL: `nats://127.0.0.1:${takenPort}` });
  expect(stderr).toEqual([expect.stringMatching(/nats|NATS/)]);
  expect(code).toBe(1);
}, 60_000);

it("hawser up refuses a setting it does not know before anything is started", async () => {
  const { code, stderr } = await run("cli/src/main.ts", ["up", "--rocketmq", "off", "--set", "mqtt.tpcPort=1"]);
  expect(stderr).toEqual([expect.stringContaining("mqtt.tpcPort")]);
  expect(code).toBe(1);
});
