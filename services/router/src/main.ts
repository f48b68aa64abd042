/** The router's process. */
import { Bus } from "@hawser/bus";
import { CatalogReader } from "@hawser/catalog";
import { bootName, loadConfig } from "@hawser/config";
import { errorLine } from "@hawser/errors";
import { startHealth } from "@hawser/health";
import { ensureLog } from "@hawser/log";
import { ensureLayout } from "@hawser/shards";
import { createLogger, enableProcessMetrics, metricsRegistry, startTelemetry, stopTelemetry } from "@hawser/telemetry";
import { Router } from "./router.ts";

async function main(): Promise<void> {
  const config = loadConfig(process.env);
  const member = bootName(config.member.name);
  const log = createLogger("router", member, config.logging.level);
  process.on("unhandledRejection", (error) => {
    log.fatal({ error: errorLine(error) }, "a promise nobody awaited was rejected");
    process.exit(1);
  });
  await startTelemetry({ service: "router", member, ...config.telemetry, onExportFailure: (line) => log.warn(line) });
  enableProcessMetrics();
  const bus = await Bus.connect({ url: config.nats.url, name: member, onEvent: (event) => log.warn(event) });
  const { replicas } = config.nats;
  await ensureLayout(bus, { ...config.layout, replicas });
  await ensureLog(bus, { partitions: config.layout.partitions, maxBytes: config.log.maxBytes, replicas });
  const catalog = await CatalogReader.start(bus, { replicas, log });
  const router = new Router({ bus, catalog, member, config, log });
  const health = await startHealth({ ...config.health, ready: () => router.notReady(), registry: metricsRegistry });
  await router.start();
  log.info({ health: health.port, rocketmq: config.rocketmq.endpoints || "off" }, "started");

  let stopping = false;
  const stop = async (signal: string): Promise<void> => {
    if (stopping) return;
    stopping = true;
    log.info({ signal }, "stopping");
    await router.stop();
    await catalog.stop();
    await health.close();
    await bus.close();
    await stopTelemetry();
    process.exit(0);
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => void stop(signal));
}

main().catch((error: unknown) => {
  process.stderr.write(`router: ${errorLine(error)}\n`);
  process.exit(1);
});
