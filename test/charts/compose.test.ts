/** docker-compose.yml: every environment read by the program's own loader, and what it starts is complete. */
import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { promisify } from "node:util";
import { parseCatalogYaml } from "@hawser/catalog";
import { loadConfig } from "@hawser/config";
import { describe, expect, test } from "vitest";
import { parse as parseYaml } from "yaml";
import { defaultCatalog, defaultGroups, defaultTopics } from "../../libs/stack/src/default-catalog.ts";
import { readEnvironment } from "../../examples/gateway/src/gateway-environment.ts";

const root = resolve(import.meta.dirname, "../..");
const run = promisify(execFile);

interface ComposeService {
  image?: string;
  build?: string;
  command?: string | string[];
  environment?: Record<string, string>;
  ports?: string[];
  depends_on?: Record<string, { condition: string }>;
  healthcheck?: { test?: string[]; disable?: boolean };
  restart?: string;
  configs?: { source: string; target: string }[];
}
interface Compose {
  services: Record<string, ComposeService>;
  configs: Record<string, { content: string }>;
}

/** `${NAME:-default}` and `$$`, as compose does with an empty environment. */
function interpolate(text: string): string {
  return text.replaceAll(/\$\$|\$\{[A-Z0-9_]+(?::-([^}]*))?\}/g, (found, fallback?: string) => (found === "$$" ? "$" : (fallback ?? "")));
}

const text = readFileSync(resolve(root, "docker-compose.yml"), "utf8");
const compose = parseYaml(interpolate(text), { merge: true }) as Compose;
const services = Object.entries(compose.services);
const own = services.filter(([, service]) => service.image?.startsWith("hawser:"));
const isJob = (service: ComposeService): boolean => service.restart === "no";

describe("docker-compose.yml", () => {
  test("starts every service, NATS, RocketMQ, Jaeger and one gateway", () => {
    expect(Object.keys(compose.services).sort()).toEqual(
      ["broker", "catalog", "csg-agent", "gateway", "ingress", "jaeger", "namesrv", "nats", "proxy", "router", "session", "topics"].sort(),
    );
  });

  test.each(services)("%s has a pinned image", (_, service) => {
    expect(service.image).toMatch(/^[a-z/]+:\d+\.\d+\.\d+(-[a-z0-9]+)?$/);
  });

  test.each(own.filter(([name]) => name !== "gateway"))("%s gets an environment its own loader takes", (name, service) => {
    const config = loadConfig(service.environment!, { hostname: name });
    expect(config).toMatchObject({ nats: { url: "nats://nats:4222" }, rocketmq: { endpoints: "proxy:8081" }, telemetry: { otlpEndpoint: "http://jaeger:4318", sampleRatio: 1 } });
  });

  test("the gateway gets an environment it takes, and a key the catalogue has", () => {
    const env = readEnvironment(compose.services["gateway"]!.environment!);
    const [instance] = parseCatalogYaml(compose.configs["catalog"]!.content).instances;
    const credential = instance!.credentials.find((each) => each.accessKeyId === env.GATEWAY_ACCESS_KEY_ID);
    expect(credential?.accessKeySecret).toBe(env.GATEWAY_ACCESS_KEY_SECRET);
    expect(credential?.groups).toContain(env.GATEWAY_GROUP);
    expect(instance!.csg).toEqual({ group: env.GATEWAY_GROUP, up: env.GATEWAY_CSG_UP, down: env.GATEWAY_CSG_DOWN });
    expect(instance!.parents).toContain(env.GATEWAY_CSG_STATUS);
  });

  test.each(own)("%s starts a file of the image", (_, service) => {
    const [program, entry] = service.command as string[];
    expect(program).toBe("node");
    expect(existsSync(resolve(root, entry!)), entry).toBe(true);
  });

  test.each(services.filter(([name, service]) => !isJob(service) && name !== "gateway"))("%s has a health check", (_, service) => {
    expect(service.healthcheck?.test?.length).toBeGreaterThan(1);
  });

  test.each(services)("what %s waits for can happen", (_, service) => {
    for (const [name, { condition }] of Object.entries(service.depends_on ?? {})) {
      const other = compose.services[name];
      expect(other, name).toBeDefined();
      expect(condition).toBe(isJob(other!) ? "service_completed_successfully" : "service_healthy");
    }
  });

  test.each(services)("%s is published to this machine only", (_, service) => {
    for (const port of service.ports ?? []) expect(port).toMatch(/^127\.0\.0\.1:\d+:\d+$/);
  });

  test("every configuration that is mounted is there, and no other", () => {
    const mounted = services.flatMap(([, service]) => (service.configs ?? []).map((config) => config.source));
    expect(mounted.sort()).toEqual(Object.keys(compose.configs).sort());
  });

  test("the catalogue is the one a local run starts with", () => {
    const [instance] = parseCatalogYaml(compose.configs["catalog"]!.content).instances;
    const [other] = defaultCatalog({ plain: false, rocketmq: true, accessKeyId: "demo", accessKeySecret: "demo-secret", prefix: "" }).instances;
    const byId = (rules: readonly { id: string }[]): { id: string }[] => rules.toSorted((a, b) => a.id.localeCompare(b.id));
    expect({ ...instance, rules: byId(instance!.rules) }).toEqual({ ...other, rules: byId(other!.rules) });
  });

  test("the topics job makes every topic and consumer group the catalogue and the services name", () => {
    const script = compose.configs["topics"]!.content;
    const listed = (what: string): string[] => [...script.matchAll(new RegExp(`for ${what} in ([^;]+);`, "g"))].flatMap((match) => match[1]!.split(" "));
    const { csg } = loadConfig({});
    expect(listed("topic").sort()).toEqual(Object.values(defaultTopics("")).sort());
    expect(listed("topic")).toEqual(expect.arrayContaining([csg.replyTopic, csg.eventTopic]));
    expect(listed("group").sort()).toEqual(Object.values(defaultGroups("")).sort());
  });

  test("NATS flushes what it acknowledges", () => {
    expect(compose.configs["nats"]!.content).toMatch(/sync_interval: always/);
  });

  test("docker compose itself takes the file", async (context) => {
    const present = await run("docker", ["compose", "version"]).then(
      () => true,
      () => false,
    );
    context.skip(!present, "docker compose is not there");
    await run("docker", ["compose", "-f", resolve(root, "docker-compose.yml"), "config", "-q"]);
  });
});

describe("the image", () => {
  const dockerfile = readFileSync(resolve(root, "Dockerfile"), "utf8");

  test("is based on a pinned Node, runs without root and installs from the lock file", () => {
    expect([...dockerfile.matchAll(/^FROM (\S+)/gm)].map((match) => match[1])).toEqual(["node:24-bookworm-slim", "node:24-bookworm-slim"]);
    expect(dockerfile).toMatch(/^USER 1000:1000$/m);
    expect(dockerfile).toMatch(/npm ci --omit=dev/);
    expect(dockerfile).not.toMatch(/^# syntax=/m);
  });

  test("gets what it copies", () => {
    const ignore = readFileSync(resolve(root, ".dockerignore"), "utf8").split("\n");
    const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+)$/gm)].flatMap((match) => match[1]!.split(" ").slice(0, -1));
    for (const path of copied) {
      expect(ignore, path).toContain(`!${path}`);
      expect(existsSync(resolve(root, path)), path).toBe(true);
    }
  });
});
