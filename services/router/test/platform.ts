/**
 * A platform for one router or several: real nats-server and RocketMQ, real shards and log; the
 * owners of sessions and actors, and the ingress that appends to the log, are played by the test.
 */
import { Bus } from "@hawser/bus";
import { CatalogReader, publishCatalog, type Published } from "@hawser/catalog";
import { type Config, loadConfig } from "@hawser/config";
import { ensureLog, LogWriter } from "@hawser/log";
import { type OutgoingMessage, type ReceivedMessage, RocketMqAdmin, RocketMqReceiver, RocketMqSender } from "@hawser/rocketmq";
import { ensureLayout, MemberBoard, ShardKeeper } from "@hawser/shards";
import { createLogger } from "@hawser/telemetry";
import { type NatsServer, type RocketMqAddresses, startNatsServer, startRocketMq } from "@hawser/testkit";
import {
  ActorVerb,
  type Answer,
  buckets,
  decodeFrame,
  decodeInboxEntry,
  decodeSubmitAll,
  encodeAnswer,
  encodeEnvelope,
  type Envelope,
  type Frame,
  type InboxEntry,
  type LogRecord,
  partitionOf,
  streams,
  type SubmitAllAnswer,
  subjects,
} from "@hawser/wire";
import { Router } from "../src/router.ts";

export const SHARDS = 4;
export const PARTITIONS = 2;
const TIMES = { heartbeatMs: 50, selfMs: 500, deadMs: 800 };

export interface FakeOwner {
  /** Those that came in one request singly. */
  readonly frames: { readonly frame: Frame; readonly shard: number }[];
  /** How many submits each request had that may have several; such a request is refused when null. */
  rows: number[] | null;
  answer: (frame: Frame) => Answer<object>;
  stop(): Promise<void>;
}

export interface RunningRouter {
  readonly router: Router;
  readonly bus: Bus;
  stop(): Promise<void>;
  /** Like kill -9: nothing is handed over, nothing said. */
  kill(): Promise<void>;
}

export class Platform {
  /** Names of this file's topics and groups: RocketMQ is shared by all test files. */
  readonly run = `${process.pid.toString(36)}${Date.now().toString(36)}`;
  readonly bus: Bus;
  readonly board: MemberBoard;
  readonly rocketmq: RocketMqAddresses;
  readonly admin: RocketMqAdmin;
  readonly #nats: NatsServer;
  readonly #writer: LogWriter;
  readonly #sender: RocketMqSender;
  readonly #closers: (() => unknown)[] = [];
  readonly #consumed = new Map<string, Promise<ReceivedMessage[]>>();
  #routers = 0;
  #sequence = 0;

  private constructor(nats: NatsServer, bus: Bus, rocketmq: RocketMqAddresses, admin: RocketMqAdmin) {
    this.#nats = nats;
    this.bus = bus;
    this.rocketmq = rocketmq;
    this.admin = admin;
    this.board = new MemberBoard({ bus, member: "ingress-0_test", service: "ingress", ...TIMES });
    this.board.start();
    this.#writer = new LogWriter({ bus, origin: "ingress-0_test", partitions: PARTITIONS, maxEntryBytes: 524_288, commitsInFlight: 2, giveUpMs: 5000 });
    this.#sender = new RocketMqSender({ endpoints: rocketmq.endpoint });
  }

  static async start(): Promise<Platform> {
    const [nats, rocketmq] = await Promise.all([startNatsServer(), startRocketMq()]);
    const bus = await Bus.connect({ url: nats.url, name: "test" });
    await ensureLayout(bus, { shards: SHARDS, partitions: PARTITIONS });
    await ensureLog(bus, { partitions: PARTITIONS, maxBytes: 64 * 1024 * 1024 });
    await bus.ensureKv(buckets.filters);
    await bus.ensureKv(buckets.catalog);
    return new Platform(nats, bus, rocketmq, await RocketMqAdmin.connect(rocketmq.broker));
  }

  async stop(): Promise<void> {
    await Promise.all(this.#closers.reverse().map((close) => close()));
    this.board.stop();
    this.#writer.stop();
    this.#sender.close();
    this.admin.close();
    await this.bus.close();
    await this.#nats.stop();
  }

  config(more: Readonly<Record<string, string>> = {}): Config {
    return loadConfig({
      HAWSER_NATS_URL: this.#nats.url,
      HAWSER_LAYOUT_SHARDS: String(SHARDS),
      HAWSER_LAYOUT_PARTITIONS: String(PARTITIONS),
      HAWSER_SHARDS_HEARTBEAT_MS: String(TIMES.heartbeatMs),
      HAWSER_SHARDS_SELF_MS: String(TIMES.selfMs),
      HAWSER_SHARDS_DEAD_MS: String(TIMES.deadMs),
      HAWSER_SHARDS_RECONCILE_MS: "200",
      HAWSER_ROCKETMQ_ENDPOINTS: this.rocketmq.endpoint,
      HAWSER_ROCKETMQ_RECEIVE_LOOPS: "2",
      HAWSER_ROCKETMQ_INVISIBLE_MS: "10000",
      ...more,
    });
  }

  publish(instance: Readonly<Record<string, unknown>>): Promise<Published> {
    return publishCatalog(this.bus, { instances: [{ id: "default", ...instance }] });
  }

  async startRouter(more?: Readonly<Record<string, string>>): Promise<RunningRouter> {
    const config = this.config(more);
    const member = `router-${this.#routers++}_test`;
    const bus = await Bus.connect({ url: config.nats.url, name: member });
    const catalog = await CatalogReader.start(bus);
    const router = new Router({ bus, catalog, member, config, log: createLogger("router", member, process.env["TEST_LOG"] ?? "silent") });
    await router.start();
    let over = false;
    const end = async (how: () => Promise<void>): Promise<void> => {
      if (over) return;
      over = true;
      await how();
      await catalog.stop();
      await bus.close();
    };
    const running: RunningRouter = {
      router,
      bus,
      stop: () => end(() => router.stop()),
      kill: () =>
        end(async () => {
          await bus.nc.close();
          await router.kill();
        }),
    };
    this.#closers.push(() => running.stop());
    return running;
  }

  /** Plays all shards of a service. */
  async playOwner(service: "session" | "csg"): Promise<FakeOwner> {
    const member = `${service}-0_test`;
    const bus = await Bus.connect({ url: this.#nats.url, name: member });
    const board = new MemberBoard({ bus, member, service, ...TIMES });
    const owner: FakeOwner = {
      frames: [],
      rows: [],
      answer: () => ({ ok: true, state: "handed" }),
      stop: async () => {
        await keeper.drain();
        board.stop();
        await bus.close();
      },
    };
    const keeper = new ShardKeeper({
      bus,
      board,
      service,
      shards: SHARDS,
      reconcileMs: 200,
      settleMs: 100,
      onAcquire: async (shard, epoch) => {
        const subject = service === "session" ? subjects.sessionOwner(shard, epoch) : subjects.actorOwner(service, shard, epoch);
        bus.subscribe(subject, (message) => {
          const frame = decodeFrame(Buffer.from(message.data));
          const take = (each: Frame): Answer<object> => {
            owner.frames.push({ frame: each, shard });
            return owner.answer(each);
          };
          if (service !== "csg" || frame.verb !== ActorVerb.submitAll) return void message.respond(encodeAnswer(take(frame)));
          if (owner.rows === null) return void message.respond(encodeAnswer({ ok: false, code: "refused", reason: "not known" }));
          const submits = decodeSubmitAll(frame.body).map(decodeFrame);
          owner.rows.push(submits.length);
          const answers: Answer<object>[] = [];
          for (const submit of submits) {
            const answer = take(submit);
            answers.push(answer);
            if (!answer.ok && answer.code !== "refused") break;
          }
          message.respond(encodeAnswer({ ok: true, answers } as SubmitAllAnswer));
        });
        await bus.flush();
      },
      onRelease: async () => undefined,
    });
    board.start();
    board.setState("ready");
    await keeper.start();
    this.#closers.push(() => owner.stop());
    return owner;
  }

  envelope(more: Partial<Envelope>): Buffer {
    return encodeEnvelope({
      origin: "ingress-0_test",
      sequence: ++this.#sequence,
      publishedAtMs: Date.now(),
      qos: 1,
      retain: false,
      sender: "GID@@@dev",
      persistent: false,
      topic: "demo/a",
      target: null,
      trace: null,
      properties: null,
      payload: Buffer.from("payload"),
      ...more,
    });
  }

  /** As an ingress does. @returns the place in the log */
  append(record: LogRecord, clientId = "GID@@@dev"): Promise<{ partition: number; sequence: number }> {
    const partition = partitionOf(record.destinations.instance, clientId, PARTITIONS);
    return new Promise((resolve, reject) => {
      this.#writer.append(partition, record, (outcome, place) => (place ? resolve({ partition, sequence: place.sequence }) : reject(new Error(outcome))));
    });
  }

  /** As a RocketMQ application does. */
  produce(message: Pick<OutgoingMessage, "topic"> & Partial<OutgoingMessage>): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#sender.send({ body: Buffer.from("body"), properties: [], tag: "", keys: [], group: "", ...message }, (outcome) =>
        outcome.kind === "sent" ? resolve() : reject(new Error(JSON.stringify(outcome))),
      );
    });
  }

  /** Everything that arrives on a topic, in a list that grows. */
  consume(topic: string): Promise<ReceivedMessage[]> {
    let consumed = this.#consumed.get(topic);
    if (!consumed) this.#consumed.set(topic, (consumed = this.#consume(topic)));
    return consumed;
  }

  async #consume(topic: string): Promise<ReceivedMessage[]> {
    const consumerGroup = `check-${topic}`;
    await this.admin.group(consumerGroup);
    const all: ReceivedMessage[] = [];
    const receiver = new RocketMqReceiver({
      endpoints: this.rocketmq.endpoint,
      topic,
      consumerGroup,
      onMessages: (batch, settle) => {
        all.push(...batch);
        batch.forEach((_, index) => settle(index, true));
      },
    });
    this.#closers.push(() => receiver.stop(100));
    return all;
  }

  /** Inbox entries of a shard, in a list that grows. */
  async inbox(shard: number): Promise<InboxEntry[]> {
    return this.#stored(streams.inbox, subjects.inbox(shard), decodeInboxEntry);
  }

  deadLetters(): Promise<Frame[]> {
    return this.#stored(streams.deadLetters, subjects.deadLetters("rocketmq"), decodeFrame);
  }

  async #stored<T>(stream: string, subject: string, decode: (bytes: Uint8Array) => T): Promise<T[]> {
    const all: T[] = [];
    const consumer = await this.bus.js.consumers.get(stream, { filter_subjects: [subject] });
    const messages = await consumer.consume();
    this.#closers.push(() => messages.close());
    void (async () => {
      for await (const message of messages) all.push(decode(Buffer.from(message.data)));
    })();
    return all;
  }
}
