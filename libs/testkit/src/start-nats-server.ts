import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort, guardChild, natsServerBinary, renderNatsConfig } from "@hawser/stack/nats";

export interface NatsServer {
  /** `nats://127.0.0.1:<port>` */
  readonly url: string;
  readonly port: number;
  /** Base of the monitoring endpoints (`/jsz`, `/connz`). */
  readonly monitorUrl: string;
  /** Of the process that runs now, or ran last. */
  readonly pid: number;
  /** Configuration, log and store; removed by stop(). */
  readonly dir: string;
  /** Default SIGKILL. Resolves when the process is gone; SIGSTOP and SIGCONT only send. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** The same port and store; kills first when it runs. Resolves when it accepts. */
  restart(): Promise<void>;
  stop(): Promise<void>;
  /** What the server has logged so far. */
  log(): string;
}

/** A real nats-server of its own: port, directory and JetStream store (`sync_interval: always`). */
export async function startNatsServer(): Promise<NatsServer> {
  const binary = await natsServerBinary();
  for (let attempt = 1; ; attempt++) {
    const server = new RunningNats(binary, await freePort(), await freePort());
    try {
      await server.start();
      return server;
    } catch (error) {
      await server.stop();
      if (attempt >= 5) throw error; // somebody may have taken the port in between
    }
  }
}

class RunningNats implements NatsServer {
  readonly url: string;
  readonly port: number;
  readonly monitorUrl: string;
  readonly dir: string = mkdtempSync(join(tmpdir(), "hawser-nats-"));
  readonly #binary: string;
  #child: ChildProcess | undefined;
  #exited: Promise<void> = Promise.resolve();

  constructor(binary: string, port: number, monitorPort: number) {
    this.#binary = binary;
    this.port = port;
    this.url = `nats://127.0.0.1:${port}`;
    this.monitorUrl = `http://127.0.0.1:${monitorPort}`;
    writeFileSync(join(this.dir, "nats.conf"), renderNatsConfig({ port, monitorPort, storeDir: join(this.dir, "store"), serverName: `test-${port}` }));
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  async start(): Promise<void> {
    const log = openSync(join(this.dir, "nats.log"), "a");
    const child = spawn(this.#binary, ["-c", join(this.dir, "nats.conf")], { detached: true, stdio: ["ignore", log, log] });
    closeSync(log);
    this.#child = child;
    this.#exited = new Promise((resolve) => {
      child.once("exit", () => resolve());
      child.once("error", () => resolve());
    });
    guardChild(child);
    const deadline = Date.now() + 20_000;
    while (!(await accepts(this.port))) {
      if (child.exitCode !== null || child.pid === undefined || Date.now() > deadline) throw new Error(`nats-server does not start: ${this.log().slice(-1000)}`);
      await sleep(10);
    }
  }

  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    this.#child?.kill(signal);
    if (signal !== "SIGSTOP" && signal !== "SIGCONT") await this.#exited;
  }

  async restart(): Promise<void> {
    await this.kill();
    await this.start();
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.dir, { recursive: true, force: true });
  }

  log(): string {
    return readFileSync(join(this.dir, "nats.log"), "utf8");
  }
}

/** Whether a server on the port sends its INFO line. */
function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    const end = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once("data", () => end(true));
    socket.once("error", () => end(false));
    socket.once("close", () => end(false));
  });
}
