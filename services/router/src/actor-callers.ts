/** A caller per actor service the catalogue names; each has a directory of its own. */
import type { Bus } from "@hawser/bus";
import type { CatalogReader } from "@hawser/catalog";
import { errorLine } from "@hawser/errors";
import { ShardCaller, ShardDirectory } from "@hawser/shards";
import type { Logger } from "@hawser/telemetry";
import { subjects } from "@hawser/wire";

const RETRY_MS = 500;

export class ActorCallers {
  readonly #bus: Bus;
  readonly #log: Logger;
  readonly #replicas: number;
  readonly #callers = new Map<string, { readonly caller: ShardCaller; readonly directory: ShardDirectory; started: boolean }>();
  #stopped = false;

  constructor(bus: Bus, replicas: number, log: Logger) {
    this.#bus = bus;
    this.#replicas = replicas;
    this.#log = log;
  }

  /** Knows the services of the catalogue from the start. */
  async start(catalog: CatalogReader, known: readonly string[]): Promise<void> {
    const named = catalog.instances().flatMap((instance) => instance.inboundRules.flatMap(({ service }) => (service === null ? [] : [service])));
    await Promise.all([...new Set([...known, ...named])].map((service) => this.#open(service)));
  }

  /** Undefined while its directory is being read. */
  of(service: string): ShardCaller | undefined {
    const entry = this.#callers.get(service);
    if (!entry) void this.#open(service);
    return entry?.started ? entry.caller : undefined;
  }

  async #open(service: string): Promise<void> {
    if (this.#callers.has(service)) return;
    const directory = new ShardDirectory({ bus: this.#bus, service, replicas: this.#replicas });
    const caller = new ShardCaller({ bus: this.#bus, directory, subject: (shard, epoch) => subjects.actorOwner(service, shard, epoch) });
    const entry = { caller, directory, started: false };
    this.#callers.set(service, entry);
    while (!this.#stopped && !entry.started) {
      try {
        await directory.start();
        entry.started = true;
      } catch (error) {
        this.#log.warn({ service, problem: errorLine(error) }, "the owners of a service cannot be read");
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }

  stop(): void {
    this.#stopped = true;
    for (const { directory } of this.#callers.values()) directory.stop();
  }
}
