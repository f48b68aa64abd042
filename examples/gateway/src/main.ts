/** The reference gateway: `node examples/gateway/src/main.ts`, configured by GATEWAY_* (gateway-environment.ts). */
import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { type CrashPoint, GatewayClient } from "@hawser/gateway-sdk";
import { startTelemetry, stopTelemetry } from "@hawser/telemetry";
import { type GatewayEnvironment, readEnvironment } from "./gateway-environment.ts";
import { gatewayMethods, VERSION } from "./gateway-methods.ts";
import { ShareDirectory } from "./share-directory.ts";
import { publishStatus } from "./status-publisher.ts";

function log(level: string, message: string, details: Record<string, unknown> = {}): void {
  process.stdout.write(`${JSON.stringify({ time: new Date().toISOString(), level, service: "gateway", msg: message, ...details })}\n`);
}

function crashAt(point: GatewayEnvironment["GATEWAY_CRASH_AT"]): { crashPoint: (at: CrashPoint) => void } | Record<never, never> {
  if (point === "") return {};
  return {
    crashPoint: (at) => {
      if (at === point) process.kill(process.pid, "SIGKILL");
    },
  };
}

async function main(): Promise<void> {
  const env = readEnvironment(process.env);
  const device = env.GATEWAY_DEVICE_ID;
  const clientId = `${env.GATEWAY_GROUP}@@@${device}`;
  await startTelemetry({ service: "gateway", member: device, otlpEndpoint: env.GATEWAY_OTLP_ENDPOINT, sampleRatio: 0 });
  const shares = new ShareDirectory(env.GATEWAY_SHARE_DIR);
  await shares.prepare(env.GATEWAY_SHARES.split(",").filter((share) => share !== ""));
  const store =
    env.GATEWAY_S3_ENDPOINT === ""
      ? null
      : {
          endpoint: env.GATEWAY_S3_ENDPOINT,
          bucket: env.GATEWAY_S3_BUCKET,
          region: env.GATEWAY_S3_REGION,
          accessKeyId: env.GATEWAY_S3_ACCESS_KEY_ID,
          secretAccessKey: env.GATEWAY_S3_SECRET_ACCESS_KEY,
          pageObjects: env.GATEWAY_S3_PAGE_OBJECTS,
        };
  const client = new GatewayClient({
    url: env.GATEWAY_URL,
    clientId,
    userName: `Signature|${env.GATEWAY_ACCESS_KEY_ID}|${env.GATEWAY_INSTANCE}`,
    password: createHmac("sha1", env.GATEWAY_ACCESS_KEY_SECRET).update(clientId).digest("base64"),
    protocolVersion: env.GATEWAY_PROTOCOL_VERSION === "5" ? 5 : 4,
    keepAliveSeconds: env.GATEWAY_KEEP_ALIVE_SECONDS,
    ...(env.GATEWAY_CA_FILE === "" ? {} : { ca: readFileSync(env.GATEWAY_CA_FILE) }),
    dataDir: env.GATEWAY_DATA_DIR,
    csgUp: env.GATEWAY_CSG_UP,
    csgDown: env.GATEWAY_CSG_DOWN,
    agent: { name: "hawser-reference-gateway", version: VERSION },
    methods: gatewayMethods({ device, shares, store, pagePauseMs: env.GATEWAY_S3_PAGE_PAUSE_MS }),
    log,
    ...crashAt(env.GATEWAY_CRASH_AT),
  });
  await client.start();
  const status = env.GATEWAY_CSG_STATUS;
  const everySeconds = status === "" ? 0 : env.GATEWAY_STATUS_EVERY_SECONDS;
  const stopStatus = everySeconds === 0 ? () => undefined : publishStatus(client, shares, `${status}/${device}`, everySeconds);
  const stop = async (signal: string): Promise<void> => {
    log("info", "stopping", { signal });
    stopStatus();
    await client.stop();
    await stopTelemetry();
    process.exit(0);
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => {
      stop(signal).catch((error: unknown) => fail(error));
    });
  }
  log("info", "started", { clientId, url: env.GATEWAY_URL, protocolVersion: env.GATEWAY_PROTOCOL_VERSION });
}

function fail(error: unknown): never {
  process.stderr.write(`gateway: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}

main().catch(fail);
