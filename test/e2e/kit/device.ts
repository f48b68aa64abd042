/**
 * An MQTT client of the tests: a raw socket that signs its CONNECT, keeps every PUBLISH it gets and
 * acknowledges it. It repairs nothing and reconnects never, so that a test sees what Hawser did.
 */
import { signClientId } from "@hawser/rules";
import { type ConnectFields, mqttPackets, type ParsedPacket, type ProtocolLevel, type PublishFields, type RawClient, rawClient, type SubscribeEntry, type TestStack } from "@hawser/testkit";
import { until } from "./until.ts";

export interface DeviceOptions {
  /** Default 4. */
  readonly level?: ProtocolLevel;
  /** Default GID_demo. */
  readonly group?: string;
  /** Index of the ingress, default 0. */
  readonly ingress?: number;
  readonly tls?: boolean;
  /** false: an MQTT 5 client asks for an hour. Default true. */
  readonly clean?: boolean;
  readonly connect?: Partial<ConnectFields>;
  /** Packets of a delivery are kept and not answered. */
  readonly silent?: boolean;
}

export interface Received {
  readonly topic: string;
  readonly text: string;
  readonly qos: number;
  readonly dup: boolean;
  readonly packetId: number | undefined;
  readonly packet: ParsedPacket;
}

export function clientIdOf(device: string, group = "GID_demo"): string {
  return `${group}@@@${device}`;
}

export function credentialsOf(stack: TestStack, clientId: string): { readonly username: string; readonly password: string } {
  const { credentials, instance } = stack.state;
  return { username: `Signature|${credentials.accessKeyId}|${instance}`, password: signClientId(credentials.accessKeySecret, clientId) };
}

const ANSWER_MS = 20_000;
/** Longer than any test: the pump only ends with the connection. */
const PUMP_MS = 3_600_000;

export class Device {
  readonly clientId: string;
  readonly raw: RawClient;
  readonly packets: ReturnType<typeof mqttPackets>;
  readonly received: Received[] = [];
  /** DISCONNECT of the server, MQTT 5. */
  disconnect: ParsedPacket | null = null;
  connack!: ParsedPacket;
  /** The connection is closed. */
  gone = false;
  readonly #silent: boolean;
  readonly #answers = new Map<string, { readonly resolve: (packet: ParsedPacket) => void; readonly reject: (error: Error) => void }>();
  #packetId = 0;

  private constructor(clientId: string, raw: RawClient, level: ProtocolLevel, silent: boolean) {
    this.clientId = clientId;
    this.raw = raw;
    this.packets = mqttPackets(level);
    this.#silent = silent;
    void raw.closed.then(() => (this.gone = true));
  }

  /** @throws Error when it is refused */
  static async connect(stack: TestStack, device: string, options: DeviceOptions = {}): Promise<Device> {
    const { level = 4, group, ingress = 0, tls = false, clean = true } = options;
    const clientId = clientIdOf(device, group);
    const endpoints = stack.mqtt[ingress]!;
    const port = Number((tls ? endpoints.tls! : endpoints.tcp).split(":")[1]);
    const raw = await rawClient(port, { level, ...(tls ? { ca: stack.state.tls.ca } : {}) });
    const it = new Device(clientId, raw, level, options.silent === true);
    const expiry = level === 5 && !clean ? { properties: { sessionExpiryInterval: 3600 } } : {};
    raw.send(it.packets.connect({ clientId, clean, ...credentialsOf(stack, clientId), ...expiry, ...options.connect }));
    it.connack = await raw.next(ANSWER_MS);
    if (it.connack.type !== "connack" || it.connack.reasonCode !== 0) throw new Error(`${clientId}: ${JSON.stringify(it.connack)}`);
    void it.#pump();
    return it;
  }

  async #pump(): Promise<void> {
    try {
      for (;;) this.#take(await this.raw.next(PUMP_MS));
    } catch {
      for (const { reject } of this.#answers.values()) reject(new Error(`${this.clientId}: the connection is closed`));
      this.#answers.clear();
    }
  }

  #take(packet: ParsedPacket): void {
    const { packets, raw } = this;
    switch (packet.type) {
      case "publish":
        this.received.push({ topic: packet.topic!, text: packet.payload!.toString(), qos: packet.qos!, dup: packet.dup!, packetId: packet.packetId, packet });
        if (!this.#silent && packet.qos === 1) raw.send(packets.puback(packet.packetId!));
        if (!this.#silent && packet.qos === 2) raw.send(packets.pubrec(packet.packetId!));
        return;
      case "pubrel":
        if (!this.#silent) raw.send(packets.pubcomp(packet.packetId!));
        return;
      case "disconnect":
        this.disconnect = packet;
        return;
      default: {
        const key = `${packet.type} ${packet.packetId ?? ""}`;
        const waiting = this.#answers.get(key);
        this.#answers.delete(key);
        waiting?.resolve(packet);
      }
    }
  }

  /** @throws when the connection closes before the answer */
  async #answer(type: ParsedPacket["type"], packetId: number | "", ...bytes: Uint8Array[]): Promise<ParsedPacket> {
    if (this.gone) throw new Error(`${this.clientId}: the connection is closed`);
    const key = `${type} ${packetId}`;
    const answer = new Promise<ParsedPacket>((resolve, reject) => this.#answers.set(key, { resolve, reject }));
    this.raw.send(...bytes);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => (timer = setTimeout(() => reject(new Error(`${this.clientId}: no ${type} within ${ANSWER_MS} ms`)), ANSWER_MS)));
    return Promise.race([answer, late]).finally(() => clearTimeout(timer));
  }

  nextPacketId(): number {
    return (this.#packetId = (this.#packetId % 65_535) + 1);
  }

  /** Resolves when the handshake of its QoS is over; with the PUBACK or PUBREC. */
  async publish(fields: Omit<PublishFields, "packetId">): Promise<ParsedPacket | null> {
    const { qos = 0 } = fields;
    if (qos === 0) {
      this.raw.send(this.packets.publish(fields));
      return null;
    }
    const packetId = this.nextPacketId();
    const first = await this.#answer(qos === 1 ? "puback" : "pubrec", packetId, this.packets.publish({ ...fields, packetId }));
    if (qos === 2 && (first.reasonCode ?? 0) < 0x80) await this.#answer("pubcomp", packetId, this.packets.pubrel(packetId));
    return first;
  }

  async subscribe(...entries: (SubscribeEntry | string)[]): Promise<readonly number[]> {
    const packetId = this.nextPacketId();
    return (await this.#answer("suback", packetId, this.packets.subscribe(packetId, entries))).reasonCodes!;
  }

  /** Resolves when everything that was sent before has been read by the server. */
  async ping(): Promise<void> {
    await this.#answer("pingresp", "", this.packets.pingreq());
  }

  /** Waits for messages; gives what has been received. */
  until(what: string, holds: (received: readonly Received[]) => boolean, timeoutMs?: number): Promise<readonly Received[]> {
    return until<readonly Received[]>(`${this.clientId}: ${what}`, () => this.received, holds, timeoutMs);
  }

  texts(): string[] {
    return this.received.map(({ text }) => text);
  }

  /** Says goodbye. */
  async leave(): Promise<void> {
    this.raw.send(this.packets.disconnect());
    await this.raw.closed;
  }

  /** The cable is cut. */
  async cut(): Promise<void> {
    this.raw.destroy();
    await this.raw.closed;
  }
}
