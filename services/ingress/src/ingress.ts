/**
 * The ingress: sockets and MQTT on one side, owners, log and live subjects on the other. What a
 * connection does is in the paths (connect, publish, subscribe); this class wires them.
 */
import { LogWriter } from "@hawser/log";
import { closeReasonOf, MqttAcceptor, type ConnectionHandler, type MqttConnection } from "@hawser/mqtt";
import type { RunningService, ServiceParts } from "@hawser/service";
import { MemberBoard, ShardCaller, ShardDirectory } from "@hawser/shards";
import { gauge, metricNames } from "@hawser/telemetry";
import { services, subjects } from "@hawser/wire";
import { ActorPath } from "./actor-path.ts";
import type { Client, ConnectionContext } from "./client.ts";
import { ClientRegistry } from "./client-registry.ts";
import { ConnectPath } from "./connect-path.ts";
import { FanOut } from "./fan-out.ts";
import { IngressTelemetry } from "./ingress-telemetry.ts";
import { Listener } from "./listener.ts";
import { LiveBus } from "./live-bus.ts";
import { logMetrics } from "./log-metrics.ts";
import { PublishPath } from "./publish-path.ts";
import { SessionLink } from "./session-link.ts";
import { SubscribePath } from "./subscribe-path.ts";

const PAUSE_CHECK_MS = 500;
const DRAIN_TIMEOUT_MS = 5_000;

export class Ingress implements ConnectionHandler, RunningService {
  readonly #parts: ServiceParts;
  readonly board: MemberBoard;
  readonly #telemetry: IngressTelemetry;
  readonly #log: LogWriter;
  readonly #live: LiveBus;
  readonly #directories: ShardDirectory[];
  readonly #clients: ClientRegistry;
  readonly #link: SessionLink;
  readonly #connects: ConnectPath;
  readonly #publishes: PublishPath;
  readonly #subscribes: SubscribePath;
  readonly #stops: (() => void)[] = [];
  #acceptor: MqttAcceptor | null = null;
  #recheckNumber = 0;
  #listeners: Listener[] = [];
  #ports: { tcp: number; tls: number } = { tcp: 0, tls: 0 };

  constructor(parts: ServiceParts) {
    this.#parts = parts;
    const { bus, catalog, member, config, logger } = parts;
    const { shards, partitions } = config.layout;
    this.board = new MemberBoard({ bus, member, service: services.ingress, ...config.shards });
    this.#telemetry = new IngressTelemetry(logger, () => this.#clients.size);
    const telemetry = this.#telemetry;
    const { onCommit, onFailure } = logMetrics(logger, partitions);
    this.#log = new LogWriter({ bus, origin: member, partitions, ...config.log, onCommit, onFailure });
    this.#live = new LiveBus(bus, (count) => telemetry.dropped("nats-away", count));
    const sessionDirectory = new ShardDirectory({ bus, service: services.session });
    const csgDirectory = new ShardDirectory({ bus, service: services.csg });
    this.#directories = [sessionDirectory, csgDirectory];
    const sessions = new ShardCaller({ bus, directory: sessionDirectory, subject: subjects.sessionOwner });
    const csg = new ShardCaller({ bus, directory: csgDirectory, subject: (shard, epoch) => subjects.actorOwner(services.csg, shard, epoch) });
    const fanOut = new FanOut(this.#live, telemetry);
    gauge(metricNames.interests, null, () => this.#live.interests);
    gauge(metricNames.subscriptions, null, () => this.#clients.subscriptions);
    const flush = (): Promise<void> => bus.flush();
    this.#clients = new ClientRegistry(sessions, fanOut, (client, will) => this.#publishes.publish(client, will, null));
    this.#link = new SessionLink({ member, bus, sessions, directory: sessionDirectory, clients: this.#clients, telemetry });
    this.#connects = new ConnectPath({
      member,
      shards,
      partitions,
      defaultInstance: config.mqtt.defaultInstance,
      maxConnections: config.mqtt.maxConnections,
      clientIdRules: { extraCharacters: config.mqtt.clientIdCharacters, maxLength: config.mqtt.maxClientIdLength },
      maxKeepAliveSeconds: config.mqtt.maxKeepAliveSeconds,
      maxSessionExpirySeconds: config.session.maxExpirySeconds,
      catalog,
      sessions,
      clients: this.#clients,
      fanOut,
      telemetry,
      listLater: (shard) => this.#link.listLater(shard),
    });
    this.#publishes = new PublishPath({
      member,
      shards,
      maxTopicLength: config.mqtt.maxTopicLength,
      maxPayloadBytes: config.mqtt.maxPayloadBytes,
      giveUpMs: config.log.giveUpMs,
      live: this.#live,
      log: this.#log,
      sessions,
      actors: new ActorPath(new Map([[services.csg, csg]]), this.#log, this.board),
      telemetry,
    });
    this.#subscribes = new SubscribePath({
      maxTopicLength: config.mqtt.maxTopicLength,
      maxSubscriptions: config.mqtt.maxSubscriptions,
      denied: new Set(config.plain.denySubscribe),
      fanOut,
      sessions,
      flush,
      telemetry,
    });
  }

  /** @returns the ports it listens on @throws HawserError when a port is taken or the TLS files cannot be read */
  async start(): Promise<object> {
    const { config, catalog, bus } = this.#parts;
    this.board.start();
    for (const directory of this.#directories) await directory.start();
    this.#link.start();
    this.#acceptor = await MqttAcceptor.create({
      handler: this,
      settings: { ...config.mqtt },
      observer: {
        malformed: (reason) => this.#telemetry.malformed(reason),
        droppedQos0: (count) => this.#telemetry.dropped("slow-consumer", count),
        droppedQueueFull: (count) => this.#telemetry.dropped("queue-full", count),
        droppedTooLarge: (count) => this.#telemetry.dropped("too-large-for-client", count),
        expired: (count) => this.#telemetry.dropped("expired", count),
      },
    });
    const acceptor = this.#acceptor;
    const listen = async (port: number, tls: { certFile: string; keyFile: string } | null): Promise<number> => {
      if (port === 0) return 0;
      const listener = new Listener({ acceptor, host: config.mqtt.host, port, tls });
      this.#listeners.push(listener);
      return listener.listen();
    };
    this.#ports = { tcp: await listen(config.mqtt.tcpPort, null), tls: await listen(config.mqtt.tlsPort, config.tls) };
    this.#stops.push(
      catalog.onChange(() => this.#catalogChanged()),
      bus.onStatus((connected) => connected && this.#recheck()),
      this.#watchPauses(),
    );
    this.board.setVersion("catalog", catalog.version);
    this.board.setState("ready");
    return this.#ports;
  }

  /** Null when it can serve. */
  notReady(): string | null {
    if (!this.#parts.bus.connected) return "NATS is away";
    if (this.#parts.catalog.instances().length === 0) return "there is no catalogue";
    if (!this.board.healthy()) return "does not hear itself";
    if (this.#listeners.length === 0) return "not listening yet";
    return null;
  }

  #catalogChanged(): void {
    const { catalog } = this.#parts;
    for (const client of [...this.#clients.all()]) {
      const instance = catalog.instance(client.instance.id);
      if (instance) client.instance = instance;
      else client.connection.close(closeReasonOf("HAWSER_E_UNKNOWN_INSTANCE"));
    }
    this.board.setVersion("catalog", catalog.version);
  }

  /**
   * After an outage or a pause somebody else may hold its clients: nothing more is read from them
   * until the owners have said which connections still count.
   */
  #recheck(): void {
    const number = ++this.#recheckNumber;
    const connections = this.#acceptor?.connections ?? new Set<MqttConnection>();
    for (const connection of connections) connection.pauseReading();
    this.#link.attachAll(() => {
      if (number !== this.#recheckNumber) return;
      for (const connection of connections) connection.resumeReading();
    });
  }

  /** A process that stood still is as good as one that was away. */
  #watchPauses(): () => void {
    let last = performance.now();
    const timer = setInterval(() => {
      const now = performance.now();
      if (now - last > this.#parts.config.shards.selfMs) this.#recheck();
      last = now;
    }, PAUSE_CHECK_MS);
    return () => clearInterval(timer);
  }

  // ---- ConnectionHandler

  connect(connection: MqttConnection, request: Parameters<ConnectionHandler["connect"]>[1]): void {
    this.#connects.connect(connection, request);
  }

  publish(connection: MqttConnection, packet: Parameters<ConnectionHandler["publish"]>[1], slot: Parameters<ConnectionHandler["publish"]>[2]): void {
    this.#publishes.publish(clientOf(connection), packet, slot);
  }

  subscribe(connection: MqttConnection, request: Parameters<ConnectionHandler["subscribe"]>[1]): void {
    this.#subscribes.subscribe(clientOf(connection), request);
  }

  unsubscribe(connection: MqttConnection, request: Parameters<ConnectionHandler["unsubscribe"]>[1]): void {
    this.#subscribes.unsubscribe(clientOf(connection), request);
  }

  delivered(connection: MqttConnection, item: unknown, outcome: Parameters<ConnectionHandler["delivered"]>[2]): void {
    this.#link.delivered(clientOf(connection), item, outcome !== "expired");
  }

  closed(connection: MqttConnection, why: Parameters<ConnectionHandler["closed"]>[1]): void {
    const { client, remoteAddress } = connection.context as ConnectionContext;
    this.#telemetry.closed(client?.clientId ?? "", remoteAddress, why.reason);
    if (!client) return;
    this.#link.undelivered(why.undelivered);
    // without a sequence the owner is still being asked: its answer finds the connection closed
    if (client.sequence !== "") this.#clients.over(client, why);
  }

  /** Stops accepting, closes every connection (MQTT 5: 0x8B), waits for what is unresolved, says goodbye. */
  async stop(): Promise<void> {
    this.board.setState("draining");
    for (const listener of this.#listeners) listener.close();
    for (const stop of this.#stops) stop();
    const acceptor = this.#acceptor;
    if (acceptor) for (const connection of [...acceptor.connections]) connection.close(closeReasonOf("HAWSER_E_SHUTTING_DOWN"));
    const deadline = performance.now() + DRAIN_TIMEOUT_MS;
    while (this.#clients.size > 0 && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 10));
    await acceptor?.stop();
    this.#clients.stop();
    this.#link.stop();
    this.#live.stop();
    // wills, and what nobody waits for
    await Promise.race([this.#log.flushed(), new Promise((resolve) => setTimeout(resolve, Math.max(0, deadline - performance.now())))]);
    this.#log.stop();
    for (const directory of this.#directories) directory.stop();
    this.board.stop();
  }
}

function clientOf(connection: MqttConnection): Client {
  return (connection.context as ConnectionContext).client!;
}
