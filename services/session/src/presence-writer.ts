/**
 * Presence events as records of the log, on the partition of the Client ID, so that their order is
 * kept: connect, disconnect (it said goodbye), tcpclean (always the last of a channel). Only for
 * groups somebody listens to.
 */
import type { CatalogReader } from "@hawser/catalog";
import type { LogWriter } from "@hawser/log";
import { parseClientId } from "@hawser/rules";
import { counter, metricNames, type Counter, type Logger } from "@hawser/telemetry";
import { encodePresenceEvent, partitionOf, presenceTypes, RecordKind, type LogRecord, type PresenceEvent, type PresenceType } from "@hawser/wire";

const RETRY_MS = 1_000;

export class PresenceWriter {
  readonly #catalog: Pick<CatalogReader, "instance">;
  readonly #log: Pick<LogWriter, "append">;
  readonly #partitions: number;
  readonly #logger: Logger;
  readonly #counters = new Map<PresenceType, Counter>(presenceTypes.map((type) => [type, counter(metricNames.presenceEvents, { type })]));

  constructor(catalog: Pick<CatalogReader, "instance">, log: Pick<LogWriter, "append">, partitions: number, logger: Logger) {
    this.#catalog = catalog;
    this.#log = log;
    this.#partitions = partitions;
    this.#logger = logger;
  }

  write(instance: string, event: PresenceEvent): void {
    this.#counters.get(event.type)!.add(1);
    const parsed = parseClientId(event.clientId, { maxLength: 250 });
    const destinations = parsed.ok ? this.#catalog.instance(instance)?.statusDestinations(parsed.group) : null;
    if (!destinations) return;
    this.#append(partitionOf(instance, event.clientId, this.#partitions), { kind: RecordKind.presence, destinations, body: encodePresenceEvent(event) });
  }

  /** Until it is stored: an event that is missing would leave a client online, or offline, for ever. */
  #append(partition: number, record: LogRecord): void {
    this.#log.append(partition, record, (outcome) => {
      if (outcome === "stored") return;
      this.#logger.error({ partition, outcome }, "presence event not stored: appended again");
      setTimeout(() => this.#append(partition, record), RETRY_MS).unref();
    });
  }
}
