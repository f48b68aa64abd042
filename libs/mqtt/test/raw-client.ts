/** An in-memory socket, a handler that records, and packets by mqtt-packet as the oracle. */
import mqttPacket, { type Packet } from "mqtt-packet";
import { MqttAcceptor, type ConnectionHandler, type ConnectionObserver, type ConnectPacketInfo, type MqttConnection, type MqttSettings } from "../src/index.ts";
import type { ClosedInfo, ConnectionSocket, DeliveryOutcome, InboundPublish, InboundSlot, OutboundItem, SubscribeRequest, UnsubscribeRequest } from "../src/types.ts";

export type Level = 3 | 4 | 5;
export const levels: readonly Level[] = [3, 4, 5];

export class MemorySocket implements ConnectionSocket {
  written: Buffer[] = [];
  ended = false;
  destroyed = false;
  paused = false;
  /** Set by a test that plays a client that does not read. */
  writableLength = 0;
  isStuck = false;

  write(bytes: Buffer): void {
    this.written.push(bytes);
    if (this.isStuck) this.writableLength += bytes.length;
  }
  end(): void {
    this.ended = true;
  }
  destroy(): void {
    this.destroyed = true;
  }
  pause(): void {
    this.paused = true;
  }
  resume(): void {
    this.paused = false;
  }

  /** All bytes written since the last call. */
  take(): Buffer {
    const bytes = Buffer.concat(this.written);
    this.written = [];
    return bytes;
  }
}

export interface Recorded {
  readonly connects: ConnectPacketInfo[];
  readonly publishes: { packet: InboundPublish; slot: InboundSlot | null }[];
  readonly subscribes: SubscribeRequest[];
  readonly unsubscribes: UnsubscribeRequest[];
  readonly delivered: { item: OutboundItem; outcome: DeliveryOutcome; reasonCode: number }[];
  readonly closed: ClosedInfo[];
  readonly counts: Record<string, number>;
}

export interface Harness {
  readonly acceptor: MqttAcceptor;
  readonly recorded: Recorded;
  /** Replace to change what the handler does; by default CONNECT is accepted and QoS above 0 acknowledged at once. */
  readonly behaviour: Partial<ConnectionHandler>;
  open(): RawClient;
  connected(level: Level, connect?: object): Promise<RawClient>;
  stop(): Promise<void>;
}

export async function startHarness(settings: Partial<MqttSettings> = {}): Promise<Harness> {
  const recorded: Recorded = { connects: [], publishes: [], subscribes: [], unsubscribes: [], delivered: [], closed: [], counts: {} };
  const behaviour: Partial<ConnectionHandler> = {};
  const handler: ConnectionHandler = {
    connect(connection, request) {
      recorded.connects.push(request);
      if (behaviour.connect) behaviour.connect(connection, request);
      else connection.acceptConnect({ sessionPresent: false });
    },
    publish(connection, packet, slot) {
      recorded.publishes.push({ packet: { ...packet, payload: Buffer.from(packet.payload) }, slot });
      if (behaviour.publish) behaviour.publish(connection, packet, slot);
      else if (slot !== null) connection.completePublish(slot);
    },
    subscribe(connection, request) {
      recorded.subscribes.push(request);
      if (behaviour.subscribe) behaviour.subscribe(connection, request);
      else connection.answerSubscribe(request.packetId, request.subscriptions.map((one) => one.qos));
    },
    unsubscribe(connection, request) {
      recorded.unsubscribes.push(request);
      if (behaviour.unsubscribe) behaviour.unsubscribe(connection, request);
      else connection.answerUnsubscribe(request.packetId, request.filters.map(() => 0));
    },
    delivered(connection, item, outcome, reasonCode) {
      recorded.delivered.push({ item, outcome, reasonCode });
      behaviour.delivered?.(connection, item, outcome, reasonCode);
    },
    closed(connection, why) {
      recorded.closed.push(why);
      behaviour.closed?.(connection, why);
    },
    get release() {
      return behaviour.release;
    },
    get auth() {
      return behaviour.auth;
    },
  } as ConnectionHandler;
  const count = (name: string, add = 1): void => {
    recorded.counts[name] = (recorded.counts[name] ?? 0) + add;
  };
  const observer: ConnectionObserver = {
    refused: (reason) => count(`refused ${reason}`),
    malformed: (reason) => count(`malformed ${reason}`),
    closed: (reason) => count(`closed ${reason}`),
    droppedQos0: (n) => count("droppedQos0", n),
    droppedQueueFull: (n) => count("droppedQueueFull", n),
    droppedTooLarge: (n) => count("droppedTooLarge", n),
    expired: (n) => count("expired", n),
    readingPaused: (cause) => count(`paused ${cause}`),
    duplicate: () => count("duplicate"),
  };
  const acceptor = await MqttAcceptor.create({ handler, settings, observer, tickMs: 0 });
  const open = (): RawClient => new RawClient(acceptor);
  return {
    acceptor,
    recorded,
    behaviour,
    open,
    async connected(level, connect = {}) {
      const client = open();
      client.level = level;
      client.send(connectPacket(level, connect));
      await client.packet("connack");
      return client;
    },
    stop: () => acceptor.stop(),
  };
}

export function connectPacket(level: Level, fields: object = {}): Packet {
  return { cmd: "connect", protocolId: level === 3 ? "MQIsdp" : "MQTT", protocolVersion: level, clientId: "c1", clean: true, keepalive: 0, ...fields } as Packet;
}

/** Lets the event loop turn, so that what is pending gets done. */
export function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

export class RawClient {
  readonly socket = new MemorySocket();
  readonly connection: MqttConnection;
  level: Level = 4;
  /** Parsed and not yet taken. */
  readonly packets: Packet[] = [];
  #parser = mqttPacket.parser({ protocolVersion: 4 });
  #parserLevel: Level = 4;

  constructor(acceptor: MqttAcceptor) {
    this.connection = acceptor.accept(this.socket);
    this.#listen();
  }

  #listen(): void {
    this.#parser.on("packet", (packet) => this.packets.push(packet));
    this.#parser.on("error", (error: Error) => {
      throw error;
    });
  }

  bytes(packet: Packet): Buffer {
    return mqttPacket.generate(packet, { protocolVersion: this.level });
  }

  send(...packets: (Packet | Buffer)[]): void {
    this.connection.receive(Buffer.concat(packets.map((packet) => (Buffer.isBuffer(packet) ? packet : this.bytes(packet)))));
  }

  hex(...parts: string[]): void {
    this.connection.receive(Buffer.from(parts.join("").replaceAll(" ", ""), "hex"));
  }

  #parse(): void {
    if (this.#parserLevel !== this.level) {
      this.#parser = mqttPacket.parser({ protocolVersion: this.level });
      this.#parserLevel = this.level;
      this.#listen();
    }
    const bytes = this.socket.take();
    if (bytes.length > 0) this.#parser.parse(bytes);
  }

  /** What arrives until the server has nothing more to do. */
  async settle(): Promise<Packet[]> {
    for (let i = 0; i < 12; i++) await turn();
    this.#parse();
    return this.packets.splice(0);
  }

  /** Raw bytes that arrive until the server has nothing more to do. */
  async settleBytes(): Promise<Buffer> {
    for (let i = 0; i < 12; i++) await turn();
    return this.socket.take();
  }

  /** The next packet, which has to be of this kind. */
  async packet(cmd: string): Promise<Packet & Record<string, any>> {
    for (let i = 0; i < 200; i++) {
      this.#parse();
      const next = this.packets.shift();
      if (next) {
        if (next.cmd !== cmd) throw new Error(`expected ${cmd}, got ${JSON.stringify(next)}`);
        return next as Packet & Record<string, any>;
      }
      await turn();
    }
    throw new Error(`no ${cmd}`);
  }
}
