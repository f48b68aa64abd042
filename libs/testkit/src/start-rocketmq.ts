/**
 * A real RocketMQ. It costs seconds of CPU and half a gigabyte, so a run of vitest has one, which
 * belongs to vitest's main process and starts when the first test asks (shared-servers.ts); test
 * files keep out of each other's way by names of their own. Who wants to kill it takes its own.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { guardChild } from "@hawser/stack/nats";

export interface RocketMqAddresses {
  /** gRPC of the proxy, `host:port`: what `rocketmq.endpoints` takes. */
  readonly endpoint: string;
  /** Remoting port of the broker, for RocketMqAdmin. */
  readonly broker: string;
  readonly namesrv: string;
}

export interface OwnRocketMq extends RocketMqAddresses {
  readonly pid: number;
  readonly dir: string;
  /** Default SIGKILL. Resolves when the process is gone; SIGSTOP and SIGCONT only send. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** The same ports and store; kills first when it runs. Resolves when the proxy serves. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** Where vitest's main process answers (shared-servers.ts). */
export const SHARED_SERVERS_VARIABLE = "TESTKIT_SHARED_SERVERS";

const START_MS = 180_000;
let ownedHere: Promise<OwnRocketMq> | undefined;

/** The RocketMQ of this run of the tests; outside of one, a RocketMQ of this process. */
export async function startRocketMq(): Promise<RocketMqAddresses> {
  const shared = process.env[SHARED_SERVERS_VARIABLE];
  if (!shared) return (ownedHere ??= startOwnRocketMq());
  const response = await fetch(`${shared}/rocketmq`, { signal: AbortSignal.timeout(START_MS + 20_000) });
  if (!response.ok) throw new Error(await response.text());
  return (await response.json()) as RocketMqAddresses;
}

export async function startOwnRocketMq(): Promise<OwnRocketMq> {
  const { claimPorts, defaultCounts, rocketMqBinary, rocketMqCommand, ROCKETMQ_READY } = await import("@hawser/stack");
  const binary = await rocketMqBinary();
  const ports = await claimPorts(undefined, defaultCounts, true);
  const { rocketmq } = ports.plan;
  const dir = mkdtempSync(join(tmpdir(), "hawser-rocketmq-"));
  const launch = rocketMqCommand(binary, dir, rocketmq);
  const logFile = join(dir, "rocketmq.log");
  let child: ChildProcess | undefined;
  let exited: Promise<void> = Promise.resolve();

  const start = async (): Promise<void> => {
    const log = openSync(logFile, "a");
    const offset = statSync(logFile).size;
    const started = spawn(launch.command, launch.args, { cwd: launch.cwd, detached: true, stdio: ["ignore", log, log] });
    closeSync(log);
    child = started;
    exited = new Promise((resolve) => {
      started.once("exit", () => resolve());
      started.once("error", () => resolve());
    });
    guardChild(started);
    const deadline = Date.now() + START_MS;
    for (;;) {
      const text = readFileSync(logFile).subarray(offset);
      if (text.includes(ROCKETMQ_READY)) return;
      if (started.exitCode !== null || started.pid === undefined || Date.now() > deadline) throw new Error(`RocketMQ does not start: ${text.toString().slice(-2000)}`);
      await sleep(100);
    }
  };
  const kill = async (signal: NodeJS.Signals = "SIGKILL"): Promise<void> => {
    child?.kill(signal);
    if (signal !== "SIGSTOP" && signal !== "SIGCONT") await exited;
  };
  const stop = async (): Promise<void> => {
    await kill();
    await ports.release();
    rmSync(dir, { recursive: true, force: true });
  };
  try {
    await start();
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    endpoint: `127.0.0.1:${rocketmq.grpc}`,
    broker: `127.0.0.1:${rocketmq.broker}`,
    namesrv: `127.0.0.1:${rocketmq.namesrv}`,
    dir,
    get pid() {
      return child?.pid ?? 0;
    },
    kill,
    restart: async () => {
      await kill();
      await start();
    },
    stop,
  };
}
