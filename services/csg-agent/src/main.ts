/** The csg-agent's process. */
import { Bus } from "@hawser/bus";
import { CatalogReader } from "@hawser/catalog";
import { bootName, loadConfig } from "@hawser/config";
import { errorLine } from "@hawser/errors";
import { startHealth } from "@hawser/health";
import { ensureLog } from "@hawser/log";
import { ensureLayout, MemberBoard } from "@hawser/shards";
import { createLogger, enableProcessMetrics, metricsRegistry, startTelemetry, stopTelemetry } from "@hawser/telemetry";
import { buckets, services } from "@hawser/wire";
import { CsgAgent } from "./csg-agent.ts";

async function main(): Promise<void> {
  const config = loadConfig(process.env);
  const member = bootName(config.member.name);
  const log = createLogger("csg-agent", member, config.logging.level);
  process.on("unhandledRejection", (error) => {
    log.fatal({ error: errorLine(error) }, "a promise nobody awaited was rejected");
    process.exit(1);
  });
  await startTelemetry({ service: "csg-agent", member, ...config.telemetry, onExportFailure: (line) => log.warn(line) });
  enableProcessMetrics();
  const bus = await Bus.connect({ url: config.nats.url, name: member, onEvent: (event) => log.warn(event) });
  const { shards, partitions } = config.layout;
  const { replicas } = config.nats;
  await ensureLayout(bus, { shards, partitions, replicas });
  await ensureLog(bus, { partitions, maxBytes: config.log.maxBytes, replicas });
  await bus.ensureKv(buckets.gateways, { replicas });
  const catalog = await CatalogReader.start(bus, { replicas, log });
  const board = new MemberBoard({ bus, member, service: services.csg, heartbeatMs: config.shards.heartbeatMs, selfMs: config.shards.selfMs, deadMs: config.shards.deadMs });
  board.start();
  const agent = new CsgAgent({ bus, board, member, catalog, config, log });
  const health = await startHealth({ ...config.health, ready: () => agent.notReady, registry: metricsRegistry });
  await agent.start();
  board.setState("ready");
  catalog.onChange(() => board.setVersion("catalog", catalog.version));
  board.setVersion("catalog", catalog.version);
  log.info({ rest: agent.rest.port, health: health.port }, "started");

  let stopping = false;
  const stop = async (signal: string): Promise<void> => {
    if (stopping) return;
    stopping = true;
    log.info({ signal }, "stopping");
    board.setState("draining");
    await agent.stop();
    board.stop();
    await catalog.stop();
    await health.close();
    await bus.close();
    await stopTelemetry();
    process.exit(0);
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => void stop(signal));
}

main().catch((error: unknown) => {
  process.stderr.write(`csg-agent: ${errorLine(error)}\n`);
  process.exit(1);
});
