/** A member of the session service with everything it needs, from the settings. */
import type { Bus } from "@hawser/bus";
import type { CatalogReader } from "@hawser/catalog";
import type { Config } from "@hawser/config";
import { LogWriter } from "@hawser/log";
import { MemberBoard, ShardKeeper } from "@hawser/shards";
import type { Logger } from "@hawser/telemetry";
import { services } from "@hawser/wire";
import { SessionService } from "./session-service.ts";

export interface SessionMemberParts {
  readonly bus: Bus;
  readonly catalog: CatalogReader;
  readonly member: string;
  readonly config: Pick<Config, "layout" | "nats" | "log" | "session" | "shards">;
  readonly logger: Logger;
}

export interface SessionMember {
  readonly service: SessionService;
  readonly board: MemberBoard;
  start(): Promise<object>;
  /** Hands every shard over and leaves. */
  stop(): Promise<void>;
  /** Null when it can serve. */
  notReady(): string | null;
}

/** Envelopes in memory, of all shards this process may own; older ones are read again. */
const CACHE_BYTES = 64 * 1024 * 1024;
const CACHE_MIN_BYTES = 1024 * 1024;
/** Added to the time after which a silent ingress is dead: by then its connections are closed by itself. */
const CLOSE_MARGIN_MS = 1_000;

export function createSession({ bus, catalog, member, config, logger }: SessionMemberParts): SessionMember {
  const { heartbeatMs, selfMs, deadMs, reconcileMs } = config.shards;
  const { shards, partitions } = config.layout;
  const board = new MemberBoard({ bus, member, service: services.session, heartbeatMs, selfMs, deadMs });
  const log = new LogWriter({
    bus,
    origin: member,
    partitions,
    maxEntryBytes: config.log.maxEntryBytes,
    commitsInFlight: config.log.commitsInFlight,
    giveUpMs: config.log.giveUpMs,
    onFailure: (partition, reason) => logger.warn({ partition, reason }, "append to the log failed"),
  });
  const service = new SessionService({
    bus,
    board,
    catalog,
    log,
    keeper: (callbacks) =>
      new ShardKeeper({
        bus,
        board,
        service: services.session,
        shards,
        reconcileMs,
        selfMs,
        settleMs: heartbeatMs * 4,
        replicas: config.nats.replicas,
        log: logger,
        ...callbacks,
      }),
    partitions,
    replicas: config.nats.replicas,
    limits: {
      maxMessages: config.session.inboxMaxMessages,
      maxAgeMs: config.session.inboxMaxAgeSeconds * 1000,
      windowMessages: config.session.deliveryWindowMessages,
      cacheBytes: Math.max(CACHE_MIN_BYTES, Math.floor(CACHE_BYTES / shards)),
    },
    heartbeatMs,
    closeTimeoutMs: deadMs + CLOSE_MARGIN_MS,
    logger,
  });
  return {
    service,
    board,
    notReady: () => service.notReady(),
    async start() {
      board.start();
      await service.start();
      board.setState("ready");
      board.setVersion("catalog", catalog.version);
      catalog.onChange(() => board.setVersion("catalog", catalog.version));
      return {};
    },
    async stop() {
      board.setState("draining");
      await service.drain();
      await log.flushed();
      log.stop();
      board.stop();
    },
  };
}
