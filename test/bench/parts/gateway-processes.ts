/** Reference gateways (examples/gateway), a process each, until the benchmark ends. */
import { spawn, type ChildProcess } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { guardChild, type Stack } from "@hawser/stack";

const MAIN = resolve(import.meta.dirname, "../../../examples/gateway/src/main.ts");
const ONLINE_MS = 30_000;

export class GatewayProcesses {
  readonly names: readonly string[];
  readonly #stack: Stack;
  readonly #children: ChildProcess[];

  constructor(stack: Stack, count: number) {
    this.#stack = stack;
    this.names = Array.from({ length: count }, (_, index) => `gw-bench-${index}`);
    this.#children = this.names.map((name) => this.#start(name));
  }

  #start(name: string): ChildProcess {
    const { state, data } = this.#stack;
    const home = join(data, "gateways", name);
    mkdirSync(join(home, "shares"), { recursive: true });
    const child = spawn(process.execPath, [MAIN], {
      detached: true,
      stdio: "ignore",
      env: {
        ...process.env,
        GATEWAY_URL: `mqtt://${state.endpoints.mqtt[0]!.tcp}`,
        GATEWAY_DEVICE_ID: name,
        GATEWAY_GROUP: state.csg!.group,
        GATEWAY_INSTANCE: state.instance,
        GATEWAY_ACCESS_KEY_ID: state.credentials.accessKeyId,
        GATEWAY_ACCESS_KEY_SECRET: state.credentials.accessKeySecret,
        GATEWAY_DATA_DIR: join(home, "journal"),
        GATEWAY_SHARE_DIR: join(home, "shares"),
        GATEWAY_STATUS_EVERY_SECONDS: "0",
      },
    });
    guardChild(child);
    return child;
  }

  get pids(): number[] {
    return this.#children.map(({ pid }) => pid!);
  }

  /** @throws Error when one is not online after 30 s */
  async online(): Promise<void> {
    const deadline = Date.now() + ONLINE_MS;
    for (const name of this.names) {
      while ((await this.#linkOf(name)) !== "online") {
        if (Date.now() > deadline) throw new Error(`${name} is not online after ${ONLINE_MS / 1000} s`);
        await sleep(100);
      }
    }
  }

  async #linkOf(name: string): Promise<string> {
    const view = await this.#get<{ state?: string; link?: { state: string } }>(`/v1/gateways/${name}`);
    return view?.link?.state ?? view?.state ?? "";
  }

  /** When the command reached each of its states, in order. */
  async historyOf(gateway: string, id: string): Promise<readonly { readonly state: string; readonly at: number }[]> {
    return (await this.#get<{ history: readonly { state: string; at: number }[] }>(`/v1/commands/${id}?gateway=${gateway}`))?.history ?? [];
  }

  async #get<T>(path: string): Promise<T | null> {
    const { endpoints, credentials } = this.#stack.state;
    const response = await fetch(`http://${endpoints.rest}${path}`, { headers: { authorization: `Bearer ${credentials.restToken}` } });
    return response.ok ? ((await response.json()) as T) : null;
  }

  stop(): void {
    for (const child of this.#children) child.kill("SIGKILL");
  }
}
