/**
 * What the connections of one process share: settings, the coarse timer wheel, the flush at the end
 * of a tick, and the aedes instance of the 3.x dialect.
 */
import { createAedesBroker } from "./dialects/aedes-broker.ts";
import { MqttConnection } from "./connection.ts";
import type { ConnectionShared } from "./connection-shared.ts";
import { TimerWheel } from "./timer-wheel.ts";
import type { ConnectionHandler, ConnectionObserver, ConnectionSocket, MqttSettings } from "./types.ts";

export const defaultMqttSettings: MqttSettings = {
  maxPacketBytes: 131_072,
  // a will of 64 KiB and its surroundings
  maxBeforeConnectBytes: 73_728,
  connectTimeoutMs: 5000,
  inboundWindowMessages: 256,
  inboundWindowBytes: 262_144,
  outboundWindowMessages: 32,
  outboundQueueMessages: 1000,
  outboundQueueBytes: 1_048_576,
  topicAliasMaximum: 16,
  maxOpenReceiveIds: 1000,
  slowConsumerBytes: 262_144,
  slowConsumerCloseBytes: 1_048_576,
  slowConsumerCloseMs: 30_000,
  lingerMs: 2000,
};

const silent: ConnectionObserver = {
  refused() {},
  malformed() {},
  closed() {},
  droppedQos0() {},
  droppedQueueFull() {},
  droppedTooLarge() {},
  expired() {},
  readingPaused() {},
  duplicate() {},
};

export interface AcceptorOptions {
  readonly handler: ConnectionHandler;
  readonly settings?: Partial<MqttSettings>;
  readonly observer?: Partial<ConnectionObserver>;
  /** Wall clock, for message expiry. */
  readonly nowMs?: () => number;
  /** Granularity of connect timeout, keep alive and linger. Default 250; 0: the caller calls `advance`. */
  readonly tickMs?: number;
}

export class MqttAcceptor {
  readonly settings: MqttSettings;
  readonly #shared: ConnectionShared;
  readonly #connections = new Set<MqttConnection>();
  readonly #timer: NodeJS.Timeout | null;
  #dirty: MqttConnection[] = [];
  #immediate: NodeJS.Immediate | null = null;
  #lastId = 0;

  private constructor(options: AcceptorOptions, aedes: ConnectionShared["aedes"]) {
    this.settings = { ...defaultMqttSettings, ...options.settings };
    const tickMs = options.tickMs ?? 250;
    this.#shared = {
      handler: options.handler,
      observer: { ...silent, ...options.observer },
      settings: this.settings,
      wheel: new TimerWheel(tickMs || 250),
      aedes,
      congested: new Set(),
      nowMs: options.nowMs ?? Date.now,
      requestFlush: (connection) => this.#requestFlush(connection),
      forget: (connection) => this.#connections.delete(connection),
    };
    this.#timer = tickMs > 0 ? setInterval(() => this.advance(), tickMs).unref() : null;
  }

  static async create(options: AcceptorOptions): Promise<MqttAcceptor> {
    return new MqttAcceptor(options, await createAedesBroker());
  }

  /** Every connection that is not closed. */
  get connections(): ReadonlySet<MqttConnection> {
    return this.#connections;
  }

  /** A socket of any kind; its events go to the connection's receive, drained and socketClosed (see attachStream). */
  accept(socket: ConnectionSocket): MqttConnection {
    const connection = new MqttConnection(this.#shared, socket, ++this.#lastId);
    this.#connections.add(connection);
    return connection;
  }

  /** One tick of the wheel. */
  advance(): void {
    this.#shared.wheel.advance();
    for (const transport of this.#shared.congested) transport.checkCongestion();
  }

  /** Writes what is pending now instead of at the end of the tick. */
  flush(): void {
    const dirty = this.#dirty;
    this.#dirty = [];
    if (this.#immediate !== null) clearImmediate(this.#immediate);
    this.#immediate = null;
    for (let i = 0; i < dirty.length; i++) {
      const connection = dirty[i]!;
      connection.flushRequested = false;
      connection.flush();
    }
  }

  #requestFlush(connection: MqttConnection): void {
    connection.flushRequested = true;
    this.#dirty.push(connection);
    this.#immediate ??= setImmediate(() => this.flush());
  }

  /** Stops the timers and aedes. Close the connections before: what is still open is only forgotten. */
  async stop(): Promise<void> {
    this.flush();
    if (this.#timer !== null) clearInterval(this.#timer);
    await new Promise<void>((resolve) => {
      this.#shared.aedes.close(() => resolve());
    });
  }
}
