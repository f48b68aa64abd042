/** The three gateway programs of the demo: MQTT 3.1.1, MQTT 5, and over TLS. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Stack } from "@hawser/stack";
import { ChildProgram } from "./child-program.ts";

export interface GatewaySpec {
  readonly device: string;
  readonly protocolVersion: "4" | "5";
  readonly tls: boolean;
  /** Which ingress it connects to. */
  readonly ingress: number;
}

export const fleet: readonly GatewaySpec[] = [
  { device: "gw-mqtt311", protocolVersion: "4", tls: false, ingress: 0 },
  { device: "gw-mqtt5", protocolVersion: "5", tls: false, ingress: 1 },
  { device: "gw-tls", protocolVersion: "4", tls: true, ingress: 1 },
];

export interface ObjectStoreAccess {
  readonly endpoint: string;
  readonly bucket: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

export class GatewayFleet {
  readonly #stack: Stack;
  readonly #store: ObjectStoreAccess;
  readonly #otlpUrl: string;
  readonly #programs = new Map<string, ChildProgram>();
  readonly lines: string[] = [];

  constructor(stack: Stack, store: ObjectStoreAccess, otlpUrl: string) {
    this.#stack = stack;
    this.#store = store;
    this.#otlpUrl = otlpUrl;
  }

  shareDir(device: string): string {
    return join(this.#stack.data, "gateways", device, "shares");
  }

  start(spec: GatewaySpec): void {
    const { state } = this.#stack;
    const endpoints = state.endpoints.mqtt[spec.ingress]!;
    const dataDir = join(this.#stack.data, "gateways", spec.device, "journal");
    mkdirSync(dataDir, { recursive: true });
    mkdirSync(this.shareDir(spec.device), { recursive: true });
    const program = new ChildProgram({
      main: "examples/gateway/src/main.ts",
      env: {
        GATEWAY_URL: spec.tls ? `mqtts://${endpoints.tls}` : `mqtt://${endpoints.tcp}`,
        GATEWAY_DEVICE_ID: spec.device,
        GATEWAY_GROUP: state.csg!.group,
        GATEWAY_INSTANCE: state.instance,
        GATEWAY_ACCESS_KEY_ID: state.credentials.accessKeyId,
        GATEWAY_ACCESS_KEY_SECRET: state.credentials.accessKeySecret,
        GATEWAY_PROTOCOL_VERSION: spec.protocolVersion,
        ...(spec.tls ? { GATEWAY_CA_FILE: state.tls.ca } : {}),
        GATEWAY_DATA_DIR: dataDir,
        GATEWAY_SHARE_DIR: this.shareDir(spec.device),
        GATEWAY_S3_ENDPOINT: this.#store.endpoint,
        GATEWAY_S3_BUCKET: this.#store.bucket,
        GATEWAY_S3_ACCESS_KEY_ID: this.#store.accessKeyId,
        GATEWAY_S3_SECRET_ACCESS_KEY: this.#store.secretAccessKey,
        GATEWAY_S3_PAGE_OBJECTS: "50",
        GATEWAY_STATUS_EVERY_SECONDS: "2",
        GATEWAY_OTLP_ENDPOINT: this.#otlpUrl,
      },
      onLine: (line) => this.lines.push(`${spec.device} ${line}`),
    });
    this.#programs.set(spec.device, program);
  }

  async stop(device: string): Promise<void> {
    await this.#programs.get(device)?.stop();
    this.#programs.delete(device);
  }

  async stopAll(): Promise<void> {
    await Promise.all([...this.#programs.keys()].map((device) => this.stop(device)));
  }
}
