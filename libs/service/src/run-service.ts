/**
 * A service starts in this order: settings (a bad one is one line and exit code 1), NATS, layout and
 * log (created by whoever comes first), the local copy of the catalogue, probes, and then the
 * service itself; it is ready when it says so. SIGTERM and SIGINT stop it in the other order and end
 * the process with 0. A rejected promise that nobody awaits ends the process: the supervisor knows
 * how to start again, nobody knows what state that left.
 */
import { Bus } from "@hawser/bus";
import { CatalogReader } from "@hawser/catalog";
import { bootName, loadConfig, type Config } from "@hawser/config";
import { errorLine, HawserError } from "@hawser/errors";
import { startHealth } from "@hawser/health";
import { ensureLog } from "@hawser/log";
import { ensureLayout } from "@hawser/shards";
import { counter, createLogger, enableProcessMetrics, gauge, metricNames, metricsRegistry, startTelemetry, stopTelemetry, type Logger } from "@hawser/telemetry";

/** Heads of envelopes and entries, and NATS headers. */
const ENVELOPE_ROOM_BYTES = 65_536;

export interface ServiceParts {
  readonly config: Config;
  /** Unique per boot. */
  readonly member: string;
  readonly bus: Bus;
  readonly catalog: CatalogReader;
  readonly logger: Logger;
}

export interface RunningService {
  /** @returns what the line "started" says besides */
  start(): Promise<object | void>;
  stop(): Promise<void>;
  /** Null when it can serve, else why not. */
  notReady(): string | null;
}

/** @param name as in services/ and in traces */
export function runService(name: string, create: (parts: ServiceParts) => RunningService): void {
  run(name, create).catch((error: unknown) => {
    process.stderr.write(`${name}: ${errorLine(error)}\n`);
    process.exit(1);
  });
}

async function run(name: string, create: (parts: ServiceParts) => RunningService): Promise<void> {
  const config = loadConfig(process.env);
  const member = bootName(config.member.name);
  const logger = createLogger(name, member, config.logging.level);
  process.on("unhandledRejection", (error) => {
    logger.fatal({ error: errorLine(error) }, "a promise nobody awaited was rejected");
    process.exit(1);
  });
  await startTelemetry({ service: name, member, ...config.telemetry, onExportFailure: (line) => logger.warn(line) });
  enableProcessMetrics();
  const bus = await Bus.connect({ url: config.nats.url, name: member, onEvent: (event) => logger.warn(event) });
  checkSizes(config, bus.maxPayloadBytes);
  const { replicas } = config.nats;
  await ensureLayout(bus, { ...config.layout, replicas });
  await ensureLog(bus, { partitions: config.layout.partitions, maxBytes: config.log.maxBytes, replicas });
  const catalog = await CatalogReader.start(bus, { replicas, log: logger });
  measure(bus, catalog);
  const service = create({ config, member, bus, catalog, logger });
  const health = await startHealth({ ...config.health, ready: () => service.notReady(), registry: metricsRegistry });
  stopOnSignal(async (signal) => {
    logger.info({ signal }, "stopping");
    await service.stop();
    await catalog.stop();
    await health.close();
    await bus.close();
    await stopTelemetry();
  });
  const details = await service.start();
  logger.info({ ...details, health: health.port }, "started");
}

function measure(bus: Bus, catalog: CatalogReader): void {
  gauge(metricNames.busConnected, null, () => (bus.connected ? 1 : 0));
  const disconnects = counter(metricNames.busDisconnects);
  bus.onStatus((connected) => {
    if (!connected) disconnects.add(1);
  });
  const versions = (): void => {
    for (const { id } of catalog.instances()) gauge(metricNames.catalogVersion, { instance: id }, () => catalog.instance(id)?.version ?? 0);
  };
  catalog.onChange(versions);
  versions();
}

/** What is larger than NATS takes would be refused for ever, message by message: it is refused at start. */
function checkSizes(config: Config, maxPayloadBytes: number): void {
  const sizes = { "log.maxEntryBytes": config.log.maxEntryBytes, "mqtt.maxPacketBytes": config.mqtt.maxPacketBytes };
  for (const [key, sizeBytes] of Object.entries(sizes)) {
    if (sizeBytes + ENVELOPE_ROOM_BYTES <= maxPayloadBytes) continue;
    const line = `${key}: ${sizeBytes} is too large for this NATS, whose max_payload is ${maxPayloadBytes}; allowed: up to ${maxPayloadBytes - ENVELOPE_ROOM_BYTES}`;
    throw new HawserError("HAWSER_E_CONFIG_BAD_VALUE", line);
  }
}

function stopOnSignal(stop: (signal: string) => Promise<void>): void {
  let stopping = false;
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      if (stopping) return;
      stopping = true;
      void stop(signal).then(() => process.exit(0));
    });
  }
}
