import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { MqttEndpoints, ServiceCounts, ServiceName, Stack, StackState } from "@hawser/stack";
import { type RocketMqAddresses, startRocketMq } from "./start-rocketmq.ts";

export interface TestStackOptions extends Partial<ServiceCounts> {
  /**
   * "shared" (default): the RocketMQ of the test run, with names of this stack's own in it. "own":
   * one that belongs to this stack and may be killed, process "rocketmq".
   */
  readonly rocketmq?: "shared" | "own" | "off" | RocketMqAddresses;
  readonly plain?: boolean;
  /** `{"csg.queueTtlMs": 1000}` */
  readonly settings?: Readonly<Record<string, string | number | boolean>>;
  /** Url of startOtlpSink(); everything is sampled. */
  readonly otlpEndpoint?: string;
}

export interface TestStack {
  readonly state: StackState;
  /** Removed by stop(). */
  readonly data: string;
  /** One per ingress. */
  readonly mqtt: readonly MqttEndpoints[];
  readonly natsUrl: string;
  /** gRPC, `host:port`; empty when it is off. */
  readonly rocketmq: string;
  /** Names of RocketMQ topics and consumer groups of this stack, with its prefix. */
  readonly topics: ReturnType<typeof import("@hawser/stack").defaultTopics>;
  readonly groups: ReturnType<typeof import("@hawser/stack").defaultGroups>;
  readonly stack: Stack;
  /** Default SIGKILL. The supervisor starts it again. @returns the pid that was sent the signal */
  kill(service: ServiceName | "nats" | "rocketmq", index?: number, signal?: NodeJS.Signals): number;
  /** Waits until every process runs and every service is ready. @throws Error with the reasons after timeoutMs, default 60 s */
  untilReady(timeoutMs?: number): Promise<void>;
  /** What a process has logged. @param name `ingress-0` */
  log(name: string): string;
  stop(): Promise<void>;
}

/** The whole of Hawser as `hawser up` runs it, for one test file: a process per service instance, real NATS and RocketMQ. */
export async function startStack(options: TestStackOptions = {}): Promise<TestStack> {
  const { parseSetting } = await import("@hawser/config");
  const { defaultCounts, defaultGroups, defaultTopics, Stack, stackStatus } = await import("@hawser/stack");
  const { rocketmq = "shared", plain = false, otlpEndpoint, settings = {} } = options;
  const external = rocketmq === "shared" ? await startRocketMq() : typeof rocketmq === "object" ? rocketmq : null;
  const prefix = external ? `t${randomBytes(4).toString("hex")}-` : "";
  const data = mkdtempSync(join(tmpdir(), "hawser-test-"));
  const wanted = { ...(otlpEndpoint ? { "telemetry.otlpEndpoint": otlpEndpoint, "telemetry.sampleRatio": 1 } : {}), ...settings };
  let stack: Stack;
  try {
    stack = await Stack.start({
      data,
      counts: { ...defaultCounts, ...counts(options) },
      rocketmq: external ? { kind: "external", ...external } : { kind: rocketmq === "off" ? "off" : "real" },
      plain,
      prefix,
      throwAway: true,
      settings: Object.entries(wanted).map(([key, value]) => parseSetting(`${key}=${value}`)),
    });
  } catch (error) {
    if (!process.env["KEEP_TEST_STACKS"]) rmSync(data, { recursive: true, force: true });
    throw error;
  }
  return {
    get state() {
      return stack.state;
    },
    data,
    mqtt: stack.state.endpoints.mqtt,
    natsUrl: `nats://${stack.state.endpoints.nats}`,
    rocketmq: stack.state.endpoints.rocketmq ?? "",
    topics: defaultTopics(prefix),
    groups: defaultGroups(prefix),
    stack,
    kill: (service, index = 0, signal = "SIGKILL") => {
      const victim = stack.process(service === "nats" || service === "rocketmq" ? service : `${service}-${index}`);
      const { pid } = victim;
      victim.kill(signal);
      return pid;
    },
    untilReady: async (timeoutMs = 60_000) => {
      const deadline = Date.now() + timeoutMs;
      for (;;) {
        const status = await stackStatus(data);
        if (status.ready) return;
        if (Date.now() > deadline) {
          const missing = status.processes.filter((each) => each.state !== "running" || each.ready === false);
          throw new Error(`not ready after ${timeoutMs} ms: ${missing.map((each) => `${each.name}: ${each.reason ?? each.state}`).join("; ")}`);
        }
        await sleep(100);
      }
    },
    log: (name) => readFileSync(join(data, "logs", `${name}.log`), "utf8"),
    stop: async () => {
      await stack.stop();
      if (!process.env["KEEP_TEST_STACKS"]) rmSync(data, { recursive: true, force: true });
    },
  };
}

function counts(options: TestStackOptions): Partial<ServiceCounts> {
  const names = ["ingress", "session", "router", "csgAgent"] as const;
  return Object.fromEntries(names.flatMap((name) => (options[name] === undefined ? [] : [[name, options[name]]])));
}
