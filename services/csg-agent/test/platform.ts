/**
 * A platform for one csg-agent or two: real nats-server, real shards, log and records; the session
 * owner and the router are played by the test, the gateway is the SDK's machine.
 */
import { Bus } from "@hawser/bus";
import { CatalogReader, publishCatalog } from "@hawser/catalog";
import { type Config, loadConfig } from "@hawser/config";
import { GatewayMachine, type GatewayInput, JournalState } from "@hawser/gateway-sdk";
import { type DownlinkMessage, encodeMessage, type Method, methodCatalogue, newUuidV7, parseDownlink, uplinkLevel } from "@hawser/csg-protocol";
import { ensureLog } from "@hawser/log";
import { ensureLayout, MemberBoard, ShardCaller, ShardDirectory, ShardKeeper } from "@hawser/shards";
import { createLogger } from "@hawser/telemetry";
import { startNatsServer, type NatsServer } from "@hawser/testkit";
import {
  ActorVerb,
  type Answer,
  buckets,
  ByteWriter,
  decodeAnswer,
  decodeEnvelope,
  decodeFrame,
  decodeLogEntry,
  decodeP2pRequest,
  decodeRocketMqMessage,
  encodeAnswer,
  encodeEnvelope,
  encodeFrame,
  encodePresenceEvent,
  encodeSubmitAll,
  encodeUplink,
  type Envelope,
  RecordKind,
  SessionVerb,
  shardOf,
  type SubmitHead,
  subjects,
} from "@hawser/wire";
import { CsgAgent } from "../src/csg-agent.ts";

const SHARDS = 4;
const TIMES = { heartbeatMs: 50, selfMs: 400, deadMs: 700 };
export const TOKEN = "test-token";

export interface SentReply {
  readonly properties: Readonly<Record<string, string>>;
  readonly body: unknown;
  readonly topic: string;
}

const document = {
  instances: [
    {
      id: "default",
      csg: { group: "GID_gateway", up: "csgUp", down: "csgDown" },
      groups: ["GID_gateway"],
      parents: ["csgUp", "csgDown"],
      rules: [{ id: "csg-up", kind: "actor", parent: "csgUp", service: "csg" }],
    },
  ],
};

export interface RunningAgent {
  readonly agent: CsgAgent;
  readonly url: string;
  /** Like kill -9: its connection is gone, nothing is handed over. */
  kill(): Promise<void>;
  stop(): Promise<void>;
}

export class Platform {
  readonly replies: SentReply[] = [];
  readonly gateways = new Map<string, FakeGateway>();
  readonly #nats: NatsServer;
  readonly bus: Bus;
  readonly #config: Config;
  readonly #agents = new Set<RunningAgent>();
  readonly #closers: (() => void | Promise<void>)[] = [];
  readonly #owners: ShardCaller;
  #sequence = 0;
  #agentNumber = 0;

  private constructor(nats: NatsServer, bus: Bus, config: Config, owners: ShardCaller) {
    this.#nats = nats;
    this.bus = bus;
    this.#config = config;
    this.#owners = owners;
  }

  static async start(): Promise<Platform> {
    const nats = await startNatsServer();
    const bus = await Bus.connect({ url: nats.url, name: "test" });
    const config = loadConfig({
      HAWSER_NATS_URL: nats.url,
      HAWSER_LAYOUT_SHARDS: String(SHARDS),
      HAWSER_LAYOUT_PARTITIONS: "1",
      HAWSER_CSG_REST_PORT: "0",
      HAWSER_CSG_REST_TOKEN: TOKEN,
      HAWSER_CSG_EVENT_TOPIC: "",
      HAWSER_CSG_PRESENCE_GRACE_MS: "200",
    });
    await ensureLayout(bus, { shards: SHARDS, partitions: 1 });
    await ensureLog(bus, { partitions: 1, maxBytes: 64 * 1024 * 1024 });
    await bus.ensureKv(buckets.gateways);
    await bus.ensureKv(buckets.catalog);
    await publishCatalog(bus, document);
    const directory = new ShardDirectory({ bus, service: "csg" });
    await directory.start();
    const platform = new Platform(nats, bus, config, new ShardCaller({ bus, directory, subject: (shard, epoch) => subjects.actorOwner("csg", shard, epoch) }));
    platform.#closers.push(() => directory.stop());
    platform.#readLog();
    await platform.#playSessions();
    return platform;
  }

  async stop(): Promise<void> {
    for (const agent of this.#agents) await agent.stop();
    for (const gateway of this.gateways.values()) gateway.stop();
    for (const close of this.#closers.reverse()) await close();
    await this.bus.close();
    await this.#nats.stop();
  }

  async startAgent(): Promise<RunningAgent> {
    const member = `csg-${this.#agentNumber++}_test`;
    const bus = await Bus.connect({ url: this.#nats.url, name: member });
    const catalog = await CatalogReader.start(bus);
    const board = new MemberBoard({ bus, member, service: "csg", ...TIMES });
    board.start();
    const agent = new CsgAgent({ bus, board, member, catalog, config: { ...this.#config, shards: { ...this.#config.shards, ...TIMES, reconcileMs: 200 } }, log: createLogger("csg", member, "silent") });
    await agent.start();
    board.setState("ready");
    const running: RunningAgent = {
      agent,
      url: `http://127.0.0.1:${agent.rest.port}`,
      kill: async () => {
        this.#agents.delete(running);
        await bus.nc.close();
        agent.actors.stop();
        board.stop();
        await agent.rest.stop();
      },
      stop: async () => {
        this.#agents.delete(running);
        await agent.stop();
        board.stop();
        await catalog.stop();
        await bus.close();
      },
    };
    this.#agents.add(running);
    return running;
  }

  /** Which of the running agents owns a gateway. */
  ownerOf(device: string): RunningAgent | undefined {
    const clientId = `GID_gateway@@@${device}`;
    return [...this.#agents].find(({ agent }) => agent.owns("default", clientId));
  }

  ask(clientId: string, frame: Buffer): Promise<Answer<Record<string, unknown>>> {
    return new Promise((resolve, reject) => {
      this.#owners.call(shardOf("default", clientId, SHARDS), frame, { timeoutMs: 3_000, patienceMs: 10_000 }, (error, bytes) => {
        if (error) reject(new Error(error.kind));
        else resolve(decodeAnswer<Record<string, unknown>>(bytes));
      });
    });
  }

  /** As the router does with a RocketMQ message. */
  submit(device: string, properties: Record<string, string>, body: unknown): Promise<Answer<Record<string, unknown>>> {
    return this.ask(`GID_gateway@@@${device}`, this.#submitFrame(device, properties, body));
  }

  /** As the router does with several that came in order. */
  submitAll(device: string, messages: readonly (readonly [properties: Record<string, string>, body: unknown])[]): Promise<Answer<Record<string, unknown>>> {
    const frames = messages.map(([properties, body]) => this.#submitFrame(device, properties, body));
    return this.ask(`GID_gateway@@@${device}`, encodeFrame(ActorVerb.submitAll, null, encodeSubmitAll(frames)));
  }

  #submitFrame(device: string, properties: Record<string, string>, body: unknown): Buffer {
    const clientId = `GID_gateway@@@${device}`;
    const head: SubmitHead = { instance: "default", clientId, properties: { device_id: device, ...properties }, tag: "", keys: [], messageId: "m", bornAtMs: Date.now(), traceparent: properties.traceparent ?? "" };
    return encodeFrame(ActorVerb.submit, head, Buffer.from(typeof body === "string" ? body : JSON.stringify(body)));
  }

  uplink(device: string, topic: string, payload: Buffer): Promise<Answer<Record<string, unknown>>> {
    const sender = `GID_gateway@@@${device}`;
    const envelope: Envelope = { origin: "ingress-0_t", sequence: ++this.#sequence, publishedAtMs: Date.now(), qos: 1, retain: false, sender, persistent: false, topic, target: null, trace: null, properties: null, payload };
    return this.ask(sender, encodeFrame(ActorVerb.uplink, null, encodeUplink({ instance: "default", envelope: encodeEnvelope(envelope) })));
  }

  async presence(device: string, type: "connect" | "tcpclean", channelId: string): Promise<void> {
    const clientId = `GID_gateway@@@${device}`;
    const event = encodePresenceEvent({ type, clientId, channelId, clientIp: "10.0.0.1:1", atMs: Date.now(), epoch: 1, counter: ++this.#sequence });
    const body = new ByteWriter().shortText("default").bytes(event).finish();
    await this.ask(clientId, encodeFrame(ActorVerb.presence, null, body));
  }

  finals(id: string): SentReply[] {
    return this.replies.filter((reply) => reply.properties.correlation_id === id && reply.properties.kind === "final");
  }

  kinds(id: string): string[] {
    return this.replies.filter((reply) => reply.properties.correlation_id === id).map((reply) => reply.properties.kind!);
  }

  #readLog(): void {
    const subscription = this.bus.subscribe(subjects.log(0), ({ data }) => {
      for (const record of decodeLogEntry(data).records) {
        if (record.kind !== RecordKind.message) continue;
        const { topic, properties, body } = decodeRocketMqMessage(record.body);
        this.replies.push({ topic, properties: Object.fromEntries(properties), body: JSON.parse(body.toString()) });
      }
    });
    this.#closers.push(() => subscription.unsubscribe());
  }

  async #playSessions(): Promise<void> {
    const board = new MemberBoard({ bus: this.bus, member: "session-0_test", service: "session", ...TIMES });
    board.start();
    const keeper = new ShardKeeper({
      bus: this.bus,
      board,
      service: "session",
      shards: SHARDS,
      reconcileMs: 200,
      selfMs: TIMES.selfMs,
      onAcquire: async (shard, epoch) => {
        this.bus.subscribe(subjects.sessionOwner(shard, epoch), (message) => {
          const { verb, head, body } = decodeFrame(message.data);
          if (verb === SessionVerb.p2p) {
            const { envelope, receiptTo, token } = decodeP2pRequest(body);
            const { target, payload } = decodeEnvelope(envelope);
            const gateway = this.gateways.get(target!);
            message.respond(encodeAnswer({ ok: true, state: gateway?.connected ? "handed" : "offline" } as never));
            if (!gateway?.connected) return;
            gateway.down(payload);
            if (receiptTo !== "") this.bus.publish(receiptTo, Buffer.from(JSON.stringify({ token, state: "delivered" })));
          } else if (verb === SessionVerb.query) {
            const { clientId } = head as { clientId: string };
            message.respond(encodeAnswer({ ok: true, state: this.gateways.get(clientId)?.connected ? "online" : "offline" } as never));
          } else {
            message.respond(encodeAnswer({ ok: true }));
          }
        });
      },
      onRelease: async () => undefined,
    });
    await keeper.start();
    board.setState("ready");
    this.#closers.push(() => board.stop(), () => keeper.drain());
  }
}

/** The SDK's machine, journal in memory, connected to the platform by function calls. */
export class FakeGateway {
  readonly runs: string[] = [];
  readonly received: DownlinkMessage[] = [];
  /** What the gateway puts into its results. */
  traceparent = "";
  connected = false;
  /** Called for each command that runs: what it ends with. */
  work: (method: string, params: unknown) => Promise<unknown> = async (_method, params) => ({ params });
  readonly #platform: Platform;
  readonly #device: string;
  readonly #machine: GatewayMachine;
  readonly #timer: NodeJS.Timeout;
  #uplinks: Promise<unknown> = Promise.resolve();
  #channel = "";

  constructor(platform: Platform, device: string) {
    this.#platform = platform;
    this.#device = device;
    const journal = new JournalState();
    journal.apply({ t: "install", id: newUuidV7() });
    this.#machine = new GatewayMachine(journal, { bootId: newUuidV7(), agent: { name: "fake", version: "1" }, methods: methodCatalogue as ReadonlyMap<string, Method> });
    this.#timer = setInterval(() => this.#tell({ kind: "tick" }), 100);
    platform.gateways.set(`GID_gateway@@@${device}`, this);
  }

  get ready(): boolean {
    return this.#machine.ready;
  }

  async connect(): Promise<void> {
    this.connected = true;
    this.#channel = newUuidV7();
    await this.#platform.presence(this.#device, "connect", this.#channel);
    this.#tell({ kind: "connected" });
  }

  async disconnect(): Promise<void> {
    this.connected = false;
    this.#tell({ kind: "disconnected" });
    await this.#platform.presence(this.#device, "tcpclean", this.#channel);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.connected = false;
  }

  down(payload: Buffer): void {
    const parsed = parseDownlink(payload);
    if (!parsed.ok) throw new Error(parsed.problem);
    this.received.push(parsed.value);
    this.#tell({ kind: "down", message: parsed.value });
  }

  #tell(input: GatewayInput): void {
    for (const output of this.#machine.receive(input, Date.now()).outputs) {
      if (output.kind === "send") {
        const message = output.message.k === "res" && this.traceparent !== "" ? { ...output.message, traceparent: this.traceparent } : output.message;
        const topic = `csgUp/${this.#device}/${uplinkLevel[message.k]}`;
        // one after the other, as one connection would; what fails is sent again by its sender's rules
        this.#uplinks = this.#uplinks.then(() => this.#platform.uplink(this.#device, topic, encodeMessage(message))).catch(() => undefined);
      } else if (output.kind === "run") {
        this.runs.push(output.id);
        const { id } = output;
        this.#tell({ kind: "progress", id, progress: { stage: "scan", pct: 1 } });
        this.work(output.method, output.params).then(
          (result) => this.#tell({ kind: "finished", id, outcome: { result } }),
          (error: unknown) => this.#tell({ kind: "finished", id, outcome: { error: { code: "INTERNAL", reason: "HANDLER_FAILED", message: String(error), retryable: false } } }),
        );
      }
    }
  }
}
