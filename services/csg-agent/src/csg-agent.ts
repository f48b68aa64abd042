/**
 * The csg-agent: owns shards of gateways, one actor per gateway. See README.md.
 */
import type { ActorKey } from "@hawser/actors";
import type { Bus, Subscription } from "@hawser/bus";
import type { CatalogReader } from "@hawser/catalog";
import type { Config } from "@hawser/config";
import { LogWriter } from "@hawser/log";
import { type MemberBoard, ShardCaller, ShardDirectory, ShardKeeper } from "@hawser/shards";
import type { Logger } from "@hawser/telemetry";
import { services, subjects } from "@hawser/wire";
import { Downlinks } from "./downlinks.ts";
import { GatewayActors } from "./gateway-actors.ts";
import { GatewayAsker } from "./gateway-asker.ts";
import { OwnerRequests } from "./owner-requests.ts";
import { RestServer } from "./rest-server.ts";
import { RocketMqOutbox } from "./rocketmq-outbox.ts";

export interface CsgAgentOptions {
  readonly bus: Bus;
  readonly board: MemberBoard;
  readonly member: string;
  readonly catalog: CatalogReader;
  readonly config: Config;
  readonly log: Logger;
  readonly now?: () => number;
}

export class CsgAgent {
  readonly actors: GatewayActors;
  readonly rest: RestServer;
  readonly #options: CsgAgentOptions;
  readonly #keeper: ShardKeeper;
  readonly #sessionDirectory: ShardDirectory;
  readonly #ownDirectory: ShardDirectory;
  readonly #downlinks: Downlinks;
  readonly #requests: OwnerRequests;
  readonly #log: LogWriter;
  readonly #subscriptions = new Map<number, Subscription>();
  #started = false;

  constructor(options: CsgAgentOptions) {
    this.#options = options;
    const { bus, board, member, catalog, config, log, now = Date.now } = options;
    const { shards, partitions } = config.layout;
    const { replicas } = config.nats;
    this.#keeper = new ShardKeeper({
      bus,
      board,
      service: services.csg,
      shards,
      reconcileMs: config.shards.reconcileMs,
      selfMs: config.shards.selfMs,
      replicas,
      log,
      onAcquire: (shard, epoch) => this.#acquire(shard, epoch),
      onRelease: (shard) => this.#release(shard),
    });
    const epochOf = (shard: number): number => this.#keeper.epochOf(shard);
    const mayServe = (): boolean => this.#keeper.mayServe();
    this.#sessionDirectory = new ShardDirectory({ bus, service: services.session, replicas });
    this.#ownDirectory = new ShardDirectory({ bus, service: services.csg, replicas });
    const sessions = new ShardCaller({ bus, directory: this.#sessionDirectory, subject: subjects.sessionOwner });
    const owners = new ShardCaller({ bus, directory: this.#ownDirectory, subject: (shard, epoch) => subjects.actorOwner(services.csg, shard, epoch) });
    this.#log = new LogWriter({
      bus,
      origin: member,
      partitions,
      maxEntryBytes: config.log.maxEntryBytes,
      commitsInFlight: config.log.commitsInFlight,
      giveUpMs: config.log.giveUpMs,
      onFailure: (partition, reason) => log.warn({ partition, reason }, "the log did not take an entry"),
    });
    const outbox = new RocketMqOutbox({ log: this.#log, partitions, now });
    this.actors = new GatewayActors({
      bus,
      member,
      csg: config.csg,
      shards,
      epochOf,
      mayServe,
      onStale: (shard) => {
        log.warn({ shard }, "records of this shard were written by somebody else");
        this.#keeper.doubt();
      },
      downlinks: () => this.#downlinks,
      outbox,
      log,
      now,
    });
    this.#downlinks = new Downlinks({ bus, member, catalog, sessions, shards, tell: (key, message) => this.actors.tell(key, message), now });
    this.#requests = new OwnerRequests({ actors: this.actors, outbox, defaults: config.csg, epochOf, mayServe, log, now });
    this.rest = new RestServer({
      host: config.csg.restHost,
      port: config.csg.restPort,
      token: config.csg.restToken,
      maxWaitMs: config.csg.maxWaitMs,
      defaultInstance: config.mqtt.defaultInstance,
      gatewayGroup: (instance) => catalog.instance(instance)?.csg?.group,
      asker: new GatewayAsker(bus, owners, shards),
    });
  }

  /** @throws HawserError when the REST port cannot be had */
  async start(): Promise<void> {
    await this.rest.start();
    await this.#sessionDirectory.start();
    await this.#ownDirectory.start();
    this.#downlinks.start();
    this.actors.start();
    await this.#keeper.start();
    this.#started = true;
  }

  /** Null when commands are taken and answered, else why not. */
  get notReady(): string | null {
    if (!this.#started) return "starting";
    if (!this.#options.bus.connected) return "NATS is away";
    if (!this.#keeper.mayServe()) return "not sure of its shards";
    return null;
  }

  owns(instance: string, clientId: string): boolean {
    return this.#keeper.epochOf(this.actors.keyOf(instance, clientId).shard) > 0 && this.#keeper.mayServe();
  }

  async stop(): Promise<void> {
    this.#started = false;
    await this.#keeper.drain();
    this.actors.stop();
    this.actors.host.stop();
    await this.#log.flushed();
    await this.#log.stop();
    this.#downlinks.stop();
    await this.rest.stop();
    this.#sessionDirectory.stop();
    this.#ownDirectory.stop();
  }

  async #acquire(shard: number, epoch: number): Promise<void> {
    await this.actors.host.openShard(shard, epoch);
    const keys: readonly ActorKey[] = await this.actors.host.loadAll(shard);
    this.#subscriptions.get(shard)?.unsubscribe();
    this.#subscriptions.set(
      shard,
      this.#options.bus.subscribe(subjects.actorOwner(services.csg, shard, epoch), (message) => this.#requests.handle(shard, epoch, message)),
    );
    this.actors.resume(keys);
  }

  async #release(shard: number): Promise<void> {
    // requests that have arrived are taken: nobody has to wait for an answer that does not come
    await this.#subscriptions.get(shard)?.drain();
    this.#subscriptions.delete(shard);
    await this.actors.host.closeShard(shard);
    this.actors.forgetShard(shard);
  }
}
