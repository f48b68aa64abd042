/** The ingress's process. */
import { Bus } from "@hawser/bus";
import { CatalogReader } from "@hawser/catalog";
import { bootName, loadConfig } from "@hawser/config";
import { errorLine } from "@hawser/errors";
import { startHealth } from "@hawser/health";
import { ensureLog } from "@hawser/log";
import { ensureLayout } from "@hawser/shards";
import { createLogger, enableProcessMetrics, metricsRegistry, startTelemetry, stopTelemetry } from "@hawser/telemetry";
import { Ingress } from "./ingress.ts";

async function main(): Promise<void> {
  const config = loadConfig(process.env);
  const member = bootName(config.member.name);
  const logger = createLogger("ingress", member, config.logging.level);
  process.on("unhandledRejection", (error) => {
    logger.fatal({ error: errorLine(error) }, "a promise nobody awaited was rejected");
    process.exit(1);
  });
  await startTelemetry({ service: "ingress", member, ...config.telemetry, onExportFailure: (line) => logger.warn(line) });
  enableProcessMetrics();
  const bus = await Bus.connect({ url: config.nats.url, name: member, onEvent: (event) => logger.warn(event) });
  const { shards, partitions } = config.layout;
  await ensureLayout(bus, { shards, partitions, replicas: config.nats.replicas });
  await ensureLog(bus, { partitions, maxBytes: config.log.maxBytes, replicas: config.nats.replicas });
  const catalog = await CatalogReader.start(bus, { replicas: config.nats.replicas, log: logger });
  const ingress = new Ingress({ bus, catalog, member, config, logger });
  const health = await startHealth({ ...config.health, ready: () => ingress.notReady(), registry: metricsRegistry });
  await ingress.start();
  logger.info({ ...ingress.ports, health: health.port }, "started");

  let stopping = false;
  const stop = async (signal: string): Promise<void> => {
    if (stopping) return;
    stopping = true;
    logger.info({ signal }, "stopping");
    await ingress.stop();
    await catalog.stop();
    await health.close();
    await bus.close();
    await stopTelemetry();
    process.exit(0);
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => void stop(signal));
}

main().catch((error: unknown) => {
  process.stderr.write(`ingress: ${errorLine(error)}\n`);
  process.exit(1);
});
