/** The router: drains partitions of the log, and brings RocketMQ to MQTT and to actors. See README.md. */
import type { Bus } from "@hawser/bus";
import type { CatalogReader } from "@hawser/catalog";
import type { Config } from "@hawser/config";
import { LogWriter } from "@hawser/log";
import { type RocketMqEndpoint, RocketMqSender, type SenderEvent } from "@hawser/rocketmq";
import { MemberBoard, ShardCaller, ShardDirectory, ShardKeeper } from "@hawser/shards";
import { gauge, histogram, type Logger, metricNames } from "@hawser/telemetry";
import { inboxStreamConfig, services, subjects } from "@hawser/wire";
import { ActorCallers } from "./actor-callers.ts";
import { ActorDrain } from "./actor-drain.ts";
import { DeadLetters } from "./dead-letters.ts";
import type { Drain, DrainContext } from "./drain.ts";
import { FilterIndex } from "./filter-index.ts";
import { InboundRules } from "./inbound-rules.ts";
import { InboxDrain } from "./inbox-drain.ts";
import { PartitionDrains } from "./partition-drains.ts";
import { RocketMqDrain, type RoutedMessage } from "./rocketmq-drain.ts";

export interface RouterOptions {
  readonly bus: Bus;
  readonly catalog: CatalogReader;
  /** Unique per boot. */
  readonly member: string;
  readonly config: Config;
  readonly log: Logger;
}

/** The cluster rules mean unless they name another. */
const CLUSTER = "default";

export class Router {
  readonly board: MemberBoard;
  readonly #options: RouterOptions;
  readonly #keeper: ShardKeeper;
  readonly #filters: FilterIndex;
  readonly #deadLetters: DeadLetters;
  readonly #writer: LogWriter;
  readonly #sessionDirectory: ShardDirectory;
  readonly #actors: ActorCallers;
  readonly #sender: RocketMqSender<RoutedMessage> | null;
  readonly #inbound: InboundRules | null;
  readonly #partitions = new Map<number, PartitionDrains>();
  readonly #ends: (() => void)[] = [];
  #sequence = 0;
  #ready = false;

  constructor(options: RouterOptions) {
    this.#options = options;
    const { bus, member, config, log } = options;
    const { heartbeatMs, selfMs, deadMs, reconcileMs } = config.shards;
    const { replicas } = config.nats;
    this.board = new MemberBoard({ bus, member, service: services.router, heartbeatMs, selfMs, deadMs });
    this.#keeper = new ShardKeeper({
      bus,
      board: this.board,
      service: services.router,
      shards: config.layout.partitions,
      reconcileMs,
      selfMs,
      settleMs: heartbeatMs * 4,
      replicas,
      onAcquire: (partition, epoch) => this.#acquire(partition, epoch),
      onRelease: (partition, _epoch, reason) => this.#release(partition, reason !== "lost"),
      log,
    });
    this.#filters = new FilterIndex({ bus, replicas, log, onRevision: (revision) => this.board.setVersion("filters", revision) });
    this.#deadLetters = new DeadLetters(bus, log);
    this.#writer = new LogWriter({
      bus,
      origin: member,
      partitions: config.layout.partitions,
      maxEntryBytes: config.log.maxEntryBytes,
      commitsInFlight: config.log.commitsInFlight,
      giveUpMs: config.log.giveUpMs,
      onFailure: (partition, reason) => log.warn({ partition, reason }, "append to the log failed"),
    });
    this.#sessionDirectory = new ShardDirectory({ bus, service: services.session, replicas });
    this.#actors = new ActorCallers(bus, replicas, log);
    const endpoint = endpointOf(config);
    this.#sender = endpoint === null ? null : this.#makeSender(endpoint);
    this.#inbound = endpoint === null ? null : this.#makeInbound(endpoint);
  }

  #makeSender(endpoint: RocketMqEndpoint): RocketMqSender<RoutedMessage> {
    const { batchMessages, sendsInFlight } = this.#options.config.rocketmq;
    const seconds = histogram(metricNames.rocketmqSendSeconds);
    const sizes = histogram(metricNames.rocketmqBatchMessages, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]);
    return new RocketMqSender<RoutedMessage>({
      ...endpoint,
      batchMessages,
      sendsInFlight,
      maySend: ({ drain }) => drain.mayAct,
      onBatch: (messages, took) => {
        seconds.observe(took);
        sizes.observe(messages);
      },
      onEvent: (event) => this.#tell(event),
    });
  }

  #tell(event: SenderEvent): void {
    const { log } = this.#options;
    if (event.kind === "away") log.warn({ reason: event.reason }, "RocketMQ is away: messages wait in the log");
    else if (event.kind === "back") log.info({ awayMs: event.awayMs }, "RocketMQ is back");
    else if (event.kind === "parked") log.error({ topic: event.topic, reason: event.reason }, "a RocketMQ topic takes nothing: its messages wait");
    else log.info({ topic: event.topic }, "the RocketMQ topic takes messages now");
  }

  #makeInbound(endpoint: RocketMqEndpoint): InboundRules {
    const { bus, member, catalog, config, log } = this.#options;
    const { maxTopicLength, maxPayloadBytes, maxClientIdLength, clientIdCharacters } = config.mqtt;
    return new InboundRules({
      bus,
      board: this.board,
      member,
      catalog,
      writer: this.#writer,
      sessions: new ShardCaller({ bus, directory: this.#sessionDirectory, subject: subjects.sessionOwner }),
      callerOf: (service) => this.#actors.of(service),
      shards: config.layout.shards,
      partitions: config.layout.partitions,
      limits: { maxTopicLength, maxPayloadBytes, maxClientIdLength, clientIdCharacters },
      log,
      nextSequence: () => ++this.#sequence,
      mayAct: () => bus.connected && this.board.healthy(),
      cluster: CLUSTER,
      endpoint,
      loops: config.rocketmq.receiveLoops,
      invisibleMs: config.rocketmq.invisibleMs,
    });
  }

  /** Creates what is missing in JetStream, reads the filters, then claims partitions. @throws when NATS is away */
  async start(): Promise<void> {
    const { bus, catalog, config } = this.#options;
    const { replicas } = config.nats;
    const inbox = inboxStreamConfig(replicas);
    await Promise.all([bus.ensureStream({ ...inbox, subjects: [...inbox.subjects] } as never), this.#deadLetters.start(replicas)]);
    this.board.start();
    await this.#sessionDirectory.start();
    await this.#actors.start(catalog, [services.csg]);
    this.#ends.push(catalog.onChange(() => this.board.setVersion("catalog", catalog.version)));
    this.board.setVersion("catalog", catalog.version);
    if (this.#sender) this.#ends.push(gauge(metricNames.rocketmqUp, null, () => (this.#sender!.connected ? 1 : 0)));
    this.#ends.push(gauge(metricNames.shardsOwned, { service: services.router }, () => this.#partitions.size));
    await this.#filters.start();
    this.board.setState("ready");
    await this.#keeper.start();
    this.#inbound?.start();
    this.#ready = true;
  }

  /** Null when it can serve, else why not. RocketMQ being away is not a reason: the log holds. */
  notReady(): string | null {
    if (!this.#ready) return "starting";
    if (!this.#options.bus.connected) return "NATS is away";
    if (!this.board.healthy()) return "does not hear itself";
    return this.#keeper.mayServe() ? null : "the partition records are being read";
  }

  get owned(): readonly number[] {
    return [...this.#partitions.keys()];
  }

  async #acquire(partition: number, epoch: number): Promise<void> {
    const { bus, config, log } = this.#options;
    const drains = new Map<string, (context: DrainContext) => Drain>([
      ["inbox", (context) => new InboxDrain({ ...context, bus, filters: this.#filters, log })],
      ["actor", (context) => new ActorDrain({ ...context, shards: config.layout.shards, callerOf: (service) => this.#actors.of(service), log })],
    ]);
    const sender = this.#sender;
    if (sender) {
      const { catalog } = this.#options;
      drains.set(`rocketmq.${CLUSTER}`, (context) => new RocketMqDrain({ ...context, cluster: CLUSTER, sender, catalog, deadLetters: this.#deadLetters, log }));
    }
    const mayAct = (): boolean => this.#keeper.epochOf(partition) === epoch && this.#keeper.mayServe();
    const opened = new PartitionDrains({ bus, board: this.board, partition, epoch, mayAct, drains, log });
    this.#partitions.set(partition, opened);
    await opened.start();
    log.info({ partition, epoch }, "partition of the log taken");
  }

  async #release(partition: number, orderly: boolean): Promise<void> {
    const opened = this.#partitions.get(partition);
    this.#partitions.delete(partition);
    await opened?.stop(orderly);
    if (opened) this.#options.log.info({ partition, orderly }, "partition of the log given up");
  }

  /** Stops receiving, finishes what it has, hands its partitions over and leaves. */
  async stop(): Promise<void> {
    await this.#inbound?.stop();
    await this.#keeper.drain();
    this.#end();
  }

  /** Ends at once, as a crash would; for tests. */
  async kill(): Promise<void> {
    this.#keeper.stop();
    await Promise.all([...this.#partitions.values()].map((opened) => opened.stop(false)));
    await this.#inbound?.stop();
    this.#end();
  }

  #end(): void {
    this.#filters.stop();
    this.#deadLetters.stop();
    this.#sender?.close();
    this.#writer.stop();
    this.#actors.stop();
    this.#sessionDirectory.stop();
    for (const end of this.#ends) end();
    this.board.stop();
  }
}

function endpointOf({ rocketmq }: Config): RocketMqEndpoint | null {
  const { endpoints, accessKey, secretKey } = rocketmq;
  if (endpoints === "") return null;
  return { endpoints, credentials: accessKey === "" ? undefined : { accessKey, secretKey } };
}
