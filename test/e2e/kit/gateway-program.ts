/** The reference gateway as a process, its journal, and what it has printed. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { guardChild } from "@hawser/stack";
import type { S3Server, TestStack } from "@hawser/testkit";

const MAIN = resolve(import.meta.dirname, "../../../examples/gateway/src/main.ts");

export interface GatewayOptions {
  readonly device: string;
  readonly level?: 4 | 5;
  readonly tls?: boolean;
  /** Index of the ingress it connects to. */
  readonly ingress?: number;
  readonly store?: S3Server["access"];
  readonly otlpEndpoint?: string;
  /** More GATEWAY_* variables. */
  readonly env?: Readonly<Record<string, string>>;
}

export class GatewayProgram {
  readonly device: string;
  readonly lines: string[] = [];
  readonly #stack: TestStack;
  readonly #options: GatewayOptions;
  #child: ChildProcess | null = null;
  #ended: Promise<void> = Promise.resolve();

  constructor(stack: TestStack, options: GatewayOptions) {
    this.#stack = stack;
    this.#options = options;
    this.device = options.device;
  }

  start(): this {
    const { device, level = 4, tls = false, ingress = 0, store, otlpEndpoint = "", env = {} } = this.#options;
    const { state } = this.#stack;
    const endpoints = this.#stack.mqtt[ingress]!;
    mkdirSync(this.#directory("journal"), { recursive: true });
    mkdirSync(this.#directory("shares"), { recursive: true });
    const child = spawn(process.execPath, [MAIN], {
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        ...process.env,
        GATEWAY_URL: tls ? `mqtts://${endpoints.tls}` : `mqtt://${endpoints.tcp}`,
        GATEWAY_DEVICE_ID: device,
        GATEWAY_GROUP: state.csg!.group,
        GATEWAY_INSTANCE: state.instance,
        GATEWAY_ACCESS_KEY_ID: state.credentials.accessKeyId,
        GATEWAY_ACCESS_KEY_SECRET: state.credentials.accessKeySecret,
        GATEWAY_PROTOCOL_VERSION: String(level),
        ...(tls ? { GATEWAY_CA_FILE: state.tls.ca } : {}),
        GATEWAY_DATA_DIR: this.#directory("journal"),
        GATEWAY_SHARE_DIR: this.#directory("shares"),
        ...(store
          ? { GATEWAY_S3_ENDPOINT: store.endpoint, GATEWAY_S3_BUCKET: store.bucket, GATEWAY_S3_ACCESS_KEY_ID: store.accessKeyId, GATEWAY_S3_SECRET_ACCESS_KEY: store.secretAccessKey }
          : {}),
        GATEWAY_STATUS_EVERY_SECONDS: "0",
        GATEWAY_OTLP_ENDPOINT: otlpEndpoint,
        ...env,
      },
    });
    guardChild(child);
    this.#child = child;
    this.#ended = new Promise((done) => child.once("exit", () => done()));
    for (const output of [child.stdout!, child.stderr!]) createInterface({ input: output }).on("line", (line) => this.lines.push(line));
    return this;
  }

  #directory(kind: string): string {
    return join(this.#stack.data, "gateways", this.device, kind);
  }

  /** Commands whose run the journal has on disk, in order. */
  started(): string[] {
    return this.#journal().flatMap((entry) => (entry.t === "started" ? [entry.id] : []));
  }

  #journal(): { readonly t: string; readonly id: string }[] {
    try {
      const lines = readFileSync(join(this.#directory("journal"), "journal.log"), "utf8").split("\n").slice(0, -1);
      return lines.map((line) => JSON.parse(line.slice(9)) as { t: string; id: string });
    } catch {
      return [];
    }
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    this.#child?.kill(signal);
    await this.#ended;
    this.#child = null;
  }

  stop(): Promise<void> {
    return this.#child ? this.kill() : Promise.resolve();
  }
}
