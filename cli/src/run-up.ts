import { spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseSetting } from "@hawser/config";
import { HawserError } from "@hawser/errors";
import { progress, type RocketMqChoice, Stack, type StackOptions, stateFilePath } from "@hawser/stack";

export interface UpOptions {
  readonly data: string;
  readonly basePort?: number;
  readonly ingress: number;
  readonly session: number;
  readonly router: number;
  readonly csgAgent: number;
  readonly rocketmq: string;
  readonly plain: boolean;
  readonly set: readonly string[];
  readonly detach: boolean;
}

export async function runUp(options: UpOptions): Promise<void> {
  const stack = stackOptions(options); // a wrong option is told before anything happens
  if (options.detach) return detach(stack.data);
  await foreground(stack);
}

function stackOptions(options: UpOptions): StackOptions {
  return {
    data: resolve(options.data),
    ...(options.basePort === undefined ? {} : { basePort: options.basePort }),
    counts: { ingress: options.ingress, session: options.session, router: options.router, csgAgent: options.csgAgent },
    rocketmq: rocketMqChoice(options.rocketmq),
    plain: options.plain,
    settings: options.set.map(parseSetting),
    progress,
  };
}

export function rocketMqChoice(text: string): RocketMqChoice {
  if (text === "real" || text === "off") return { kind: text };
  if (/^[^\s:,;]+:\d{1,5}$/.test(text)) return { kind: "external", endpoint: text };
  throw new HawserError("HAWSER_E_CONFIG_BAD_VALUE", `--rocketmq ${text} is not allowed; allowed: real, off, or host:port of a RocketMQ 5 proxy`);
}

async function foreground(options: StackOptions): Promise<void> {
  const abort = new AbortController();
  let stack: Stack | undefined;
  let signals = 0;
  const ended = new Promise<void>((done) => {
    const onSignal = (): void => {
      signals++;
      if (signals > 1) return stack?.killAll();
      progress("stopping");
      abort.abort();
      done();
    };
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, onSignal);
  });
  try {
    stack = await Stack.start(options, abort.signal);
  } catch (error) {
    if (abort.signal.aborted) process.exit(130);
    throw error;
  }
  process.stdout.write(whatRuns(stack));
  await ended;
  await stack.stop();
  process.exit(0);
}

function whatRuns(stack: Stack): string {
  const { endpoints, instance, credentials } = stack.state;
  const rows: [string, string][] = [
    ...endpoints.mqtt.map(({ tcp, tls, ws }, index): [string, string] => [`MQTT ${index}`, [tcp, tls ? `TLS ${tls}` : "", ws ? `WebSocket ${ws}` : ""].filter(Boolean).join("   ")]),
    ["RocketMQ", endpoints.rocketmq ?? "off"],
    ["REST", `http://${endpoints.rest}`],
    ["NATS", endpoints.nats],
    ["instance", instance],
    ["access key", credentials.accessKeyId],
    ["all of it", stateFilePath(stack.data)],
  ];
  return `ready\n${rows.map(([what, value]) => `  ${what.padEnd(11)} ${value}\n`).join("")}`;
}

/** Starts this command again on its own, shows what it says until it is ready, and leaves it. */
async function detach(data: string): Promise<void> {
  const logs = join(data, "logs");
  mkdirSync(logs, { recursive: true });
  const logFile = join(logs, "up.log");
  const log = openSync(logFile, "w");
  const args = process.argv.slice(2).filter((each) => each !== "--detach");
  const child = spawn(process.execPath, [...process.execArgv, process.argv[1]!, ...args], { detached: true, stdio: ["ignore", log, log] });
  closeSync(log);
  let ended = false;
  child.once("exit", () => (ended = true));
  const interrupt = (): void => {
    child.kill("SIGTERM");
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, interrupt);
  let shown = 0;
  const show = (): void => {
    const text = readFileSync(logFile).subarray(shown);
    shown += text.length;
    if (text.length > 0) writeSync(2, text);
  };
  const ready = (): boolean => {
    if (!existsSync(stateFilePath(data))) return false;
    const running = JSON.parse(readFileSync(join(data, "run.json"), "utf8")) as { pid: number };
    return running.pid === child.pid;
  };
  while (!ended && !ready()) {
    show();
    await sleep(100);
  }
  show();
  process.exit(ended ? 1 : 0);
}
