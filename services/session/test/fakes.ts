/** An ingress and a router that only speak the subjects, and session members in this process. */
import { Bus } from "@hawser/bus";
import { CatalogReader, publishCatalog } from "@hawser/catalog";
import { loadConfig, type Config } from "@hawser/config";
import { ensureLog } from "@hawser/log";
import { MemberBoard, ShardCaller, ShardDirectory, ensureLayout } from "@hawser/shards";
import { createLogger } from "@hawser/telemetry";
import {
  buckets,
  decodeAnswer,
  decodeDelivery,
  decodeEnvelope,
  decodeFrame,
  encodeAnswer,
  encodeEnvelope,
  encodeFrame,
  encodeInboxEntry,
  encodeP2pRequest,
  IngressVerb,
  services,
  SessionVerb,
  shardOf,
  subjects,
  type Answer,
  type AttachOutcome,
  type CloseOrder,
  type ConnectGrant,
  type ConnectRequest,
  type DeliveryReceiver,
  type Envelope,
  type P2pOutcome,
  type Qos,
  type SessionSummary,
  type StoredSubscription,
} from "@hawser/wire";
import { createSession, type SessionMember } from "../src/create-session.ts";

export const SHARDS = 4;
export const INSTANCE = "default";

export const config: Config = loadConfig({
  HAWSER_LAYOUT_SHARDS: String(SHARDS),
  HAWSER_SHARDS_HEARTBEAT_MS: "50",
  HAWSER_SHARDS_SELF_MS: "400",
  HAWSER_SHARDS_DEAD_MS: "800",
  HAWSER_SHARDS_RECONCILE_MS: "200",
});

const timing = { heartbeatMs: 50, selfMs: 400, deadMs: 800 };

export async function until(condition: () => boolean | Promise<boolean>, what = "condition", withinMs = 8000): Promise<void> {
  const deadline = Date.now() + withinMs;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export async function prepare(url: string): Promise<void> {
  const bus = await Bus.connect({ url, name: "prepare" });
  await ensureLayout(bus, { shards: SHARDS, partitions: 2 });
  await ensureLog(bus, { partitions: 2, maxBytes: 1 << 26 });
  await publishCatalog(bus, {
    instances: [
      {
        id: INSTANCE,
        profile: "product",
        groups: ["GID_demo"],
        parents: ["demo"],
        rules: [{ id: "demo-status", kind: "status", group: "GID_demo", topic: "mqtt-status" }],
        credentials: [],
      },
    ],
  } as never);
  await bus.close();
}

export interface RunningMember extends SessionMember {
  readonly name: string;
  readonly bus: Bus;
  /** As kill -9: nothing is handed over, nothing is written any more. */
  crash(): Promise<void>;
}

let boots = 0;

export async function startMember(url: string, name: string): Promise<RunningMember> {
  const member = `${name}_b${++boots}`;
  const bus = await Bus.connect({ url, name: member });
  const catalog = await CatalogReader.start(bus);
  const session = createSession({ bus, catalog, member, config, logger: createLogger("session", member, process.env["TEST_LOG"] ?? "silent") });
  await session.start();
  return {
    ...session,
    name: member,
    bus,
    async stop() {
      await session.stop();
      await catalog.stop();
      await bus.close();
    },
    crash: () => bus.nc.close(),
  };
}

export interface FakeDelivery extends DeliveryReceiver {
  readonly envelope: Envelope;
  readonly text: string;
  readonly receiptTo: string;
  readonly token: string;
}

export interface FakeConnection {
  readonly request: ConnectRequest;
  readonly number: number;
  sequence: string;
  grant: (ConnectGrant & { ok: true }) | null;
  /** Why it was closed. */
  closed: string | null;
  readonly deliveries: FakeDelivery[];
}

export class FakeIngress {
  readonly member: string;
  readonly bus: Bus;
  readonly board: MemberBoard;
  readonly directory: ShardDirectory;
  readonly caller: ShardCaller;
  readonly connections = new Map<number, FakeConnection>();
  /** Close orders are answered. */
  obedient = true;
  #number = 0;
  #serial = 0;

  private constructor(bus: Bus, member: string) {
    this.bus = bus;
    this.member = member;
    this.board = new MemberBoard({ bus, member, service: services.ingress, ...timing });
    this.directory = new ShardDirectory({ bus, service: services.session });
    this.caller = new ShardCaller({ bus, directory: this.directory, subject: subjects.sessionOwner });
  }

  static async start(url: string, name: string): Promise<FakeIngress> {
    const member = `${name}_b${++boots}`;
    const ingress = new FakeIngress(await Bus.connect({ url, name: member }), member);
    ingress.bus.subscribe(subjects.ingress(member), (message) => {
      const frame = decodeFrame(message.data);
      if (frame.verb === IngressVerb.close) {
        const order = frame.head as CloseOrder;
        const connection = ingress.connections.get(order.connection);
        if (!ingress.obedient) return;
        if (connection) ingress.#end(connection, order.reason);
        message.respond(encodeAnswer({ ok: true }));
      } else if (frame.verb === IngressVerb.list) ingress.attach((frame.head as { shard: number }).shard);
      else if (frame.verb === IngressVerb.deliver) {
        const { receivers, envelope: bytes, receiptTo, token } = decodeDelivery(frame.body);
        const envelope = decodeEnvelope(bytes);
        let handed = false;
        for (const receiver of receivers) {
          const connection = ingress.connections.get(receiver.connection);
          if (!connection || connection.closed !== null || (connection.sequence !== receiver.sequence && connection.sequence !== "")) continue;
          handed = true;
          connection.deliveries.push({ ...receiver, envelope, text: envelope.payload.toString(), receiptTo, token });
        }
        message.respond(handed ? encodeAnswer({ ok: true }) : encodeAnswer({ ok: false, code: "stale", reason: "no such connection" }));
      }
    });
    // deliveries may have been lost meanwhile
    ingress.bus.onStatus((connected) => {
      if (connected) for (let shard = 0; shard < SHARDS; shard++) ingress.attach(shard);
    });
    ingress.board.start();
    await ingress.directory.start();
    ingress.board.setState("ready");
    return ingress;
  }

  #end(connection: FakeConnection, reason: string): void {
    connection.closed = reason;
    this.connections.delete(connection.number);
  }

  call<T extends object>(clientId: string, frame: Buffer): Promise<Answer<T>> {
    return new Promise((resolve, reject) => {
      this.caller.call(shardOf(INSTANCE, clientId, SHARDS), frame, { timeoutMs: 8000, patienceMs: 8000 }, (error, data) => (error ? reject(error) : resolve(decodeAnswer<T>(data))));
    });
  }

  async connect(clientId: string, over: Partial<ConnectRequest> = {}): Promise<FakeConnection> {
    const number = ++this.#number;
    const request: ConnectRequest = {
      instance: INSTANCE,
      clientId,
      ingress: this.member,
      connection: number,
      level: 4,
      cleanStart: true,
      sessionExpirySeconds: 0,
      clientIp: "127.0.0.1:1",
      channelId: `${this.member}-${number}`,
      ...over,
    };
    const connection: FakeConnection = { request, number, sequence: "", grant: null, closed: null, deliveries: [] };
    this.connections.set(number, connection);
    const answer = await this.call<ConnectGrant>(clientId, encodeFrame(SessionVerb.connect, request));
    if (answer.ok) {
      connection.grant = answer;
      connection.sequence = answer.sequence;
    } else this.#end(connection, answer.reason);
    return connection;
  }

  persistent(clientId: string, over: Partial<ConnectRequest> = {}): Promise<FakeConnection> {
    return this.connect(clientId, { cleanStart: false, sessionExpirySeconds: 3600, ...over });
  }

  async close(connection: FakeConnection, goodbye = true): Promise<void> {
    this.#end(connection, "client");
    const { instance, clientId, channelId, clientIp } = connection.request;
    await this.call(clientId, encodeFrame(SessionVerb.closed, { instance, clientId, sequence: connection.sequence, goodbye, channelId, clientIp }));
  }

  subscribe(connection: FakeConnection, ...filters: string[]): Promise<Answer> {
    const { instance, clientId } = connection.request;
    const subscriptions: StoredSubscription[] = filters.map((filter) => ({ filter, qos: 1, noLocal: false, retainAsPublished: false, identifier: 0 }));
    return this.call(clientId, encodeFrame(SessionVerb.subscribe, { instance, clientId, sequence: connection.sequence, subscriptions }));
  }

  acknowledge(connection: FakeConnection, ...positions: number[]): void {
    const { instance, clientId } = connection.request;
    const shard = shardOf(instance, clientId, SHARDS);
    const owner = this.directory.owner(shard)!;
    this.bus.publish(subjects.sessionOwner(shard, owner.epoch), encodeFrame(SessionVerb.acks, { acks: [[instance, clientId, connection.sequence, positions]] }));
  }

  attach(shard: number): void {
    const connections = [...this.connections.values()]
      .filter(({ sequence, request }) => sequence !== "" && shardOf(request.instance, request.clientId, SHARDS) === shard)
      .map(({ request: { cleanStart: _clean, ingress: _ingress, ...request }, sequence }) => ({ ...request, sequence }));
    const frame = encodeFrame(SessionVerb.attach, { ingress: this.member, connections });
    this.caller.call(shard, frame, { timeoutMs: 5000, patienceMs: 10_000 }, (error, data) => {
      if (error) return;
      const answer = decodeAnswer<AttachOutcome>(data);
      if (!answer.ok) return;
      for (const { connection } of answer.refused) {
        const lost = this.connections.get(connection);
        if (lost) this.#end(lost, "refused");
      }
    });
  }

  async p2p(target: string, text: string, over: { storable?: boolean; receiptTo?: string; qos?: Qos } = {}): Promise<Answer<P2pOutcome>> {
    const envelope = encodeEnvelope({
      origin: this.member,
      sequence: ++this.#serial,
      publishedAtMs: Date.now(),
      qos: over.qos ?? 1,
      retain: false,
      sender: "GID_demo@@@sender",
      persistent: false,
      topic: `demo/p2p/${target}`,
      target,
      trace: null,
      properties: null,
      payload: Buffer.from(text),
    });
    const body = encodeP2pRequest({ instance: INSTANCE, storable: over.storable ?? false, receiptTo: over.receiptTo ?? "", token: text, envelope });
    return this.call<P2pOutcome>(target, encodeFrame(SessionVerb.p2p, null, body));
  }

  async query(clientId: string): Promise<SessionSummary> {
    const answer = await this.call<SessionSummary>(clientId, encodeFrame(SessionVerb.query, { instance: INSTANCE, clientId }));
    if (!answer.ok) throw new Error(answer.reason);
    return answer;
  }

  async stop(): Promise<void> {
    this.board.stop();
    this.directory.stop();
    await this.bus.close();
  }
}

/** Writes inbox entries as a router would, and reports the filters it knows. */
export class FakeRouter {
  readonly bus: Bus;
  readonly board: MemberBoard;
  readonly filters = new Map<string, (readonly [string, string])[]>();
  /** Changes that have arrived and are not applied while it is slow. */
  slow = false;
  #serial = 0;

  private constructor(bus: Bus, member: string) {
    this.bus = bus;
    this.board = new MemberBoard({ bus, member, service: services.router, ...timing });
  }

  static async start(url: string, name = "router-0"): Promise<FakeRouter> {
    const member = `${name}_b${++boots}`;
    const router = new FakeRouter(await Bus.connect({ url, name: member }), member);
    router.board.start();
    const kv = await router.bus.ensureKv(buckets.filters);
    await kv.watch("", ({ key, value, revision }) => {
      if (router.slow) return;
      const read = value ? (JSON.parse(value.toString()) as { filters: [string, string][] }).filters : [];
      router.filters.set(key, read);
      router.board.setVersion("filters", revision);
    });
    router.board.setState("ready");
    return router;
  }

  /** One log entry for one shard. */
  append(shard: number, ...messages: { topic: string; text: string; qos?: Qos; sender?: string }[]): Promise<void> {
    const logSequence = ++this.#serial;
    const entry = encodeInboxEntry({
      partition: 0,
      logSequence,
      messages: messages.map(({ topic, text, qos = 1, sender = "GID_demo@@@sender" }, index) => ({
        instance: INSTANCE,
        envelope: encodeEnvelope({
          origin: "ingress-9_x",
          sequence: logSequence * 1000 + index,
          publishedAtMs: Date.now(),
          qos,
          retain: false,
          sender,
          persistent: false,
          topic,
          target: null,
          trace: null,
          properties: null,
          payload: Buffer.from(text),
        }),
      })),
    });
    return new Promise((resolve, reject) => {
      this.bus.append(subjects.inbox(shard), entry, (result) => (result.kind === "stored" ? resolve() : reject(new Error(result.kind))));
    });
  }

  async stop(): Promise<void> {
    this.board.stop();
    await this.bus.close();
  }
}
