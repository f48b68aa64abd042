/**
 * A RocketMQ application that commands gateways: one producer, one consumer of the replies. Works
 * around what the client gets wrong: startup that never settles (a time limit of our own, and the
 * reason from its logger), shutdown that throws when the proxy is gone.
 */
import { type MessageView, Producer, SimpleConsumer } from "rocketmq-client-nodejs";
import type { CommandMessage } from "./command-line.ts";

export interface ApplicationOptions {
  /** host:port of the RocketMQ 5 proxy. */
  readonly endpoints: string;
  readonly commandTopic: string;
  readonly replyTopic: string;
  readonly replyGroup: string;
  readonly accessKey?: string;
  readonly secretKey?: string;
  readonly onReply: (properties: ReadonlyMap<string, string>, body: Buffer) => void;
  readonly onProblem: (line: string) => void;
}

const STARTUP_TIMEOUT_MS = 5_000;
const STARTUP_ATTEMPTS = 6;
/** Long polls that wait for replies. */
const RECEIVE_LOOPS = 2;
const RECEIVE_MAX = 32;
const INVISIBLE_MS = 20_000;
const AWAIT_MS = 5_000;

interface Startable {
  startup(): Promise<void>;
  shutdown(): Promise<void>;
}

export class RocketMqApplication {
  readonly #options: ApplicationOptions;
  #producer: Producer | null = null;
  #consumer: SimpleConsumer | null = null;
  #stopping = false;
  #loops: Promise<void>[] = [];

  constructor(options: ApplicationOptions) {
    this.#options = options;
  }

  /** @throws Error with what the client said when RocketMQ does not let it in */
  async start(): Promise<void> {
    const { commandTopic, replyTopic, replyGroup, accessKey, secretKey, endpoints } = this.#options;
    const credentials = accessKey ? { sessionCredentials: { accessKey, accessSecret: secretKey ?? "" } } : {};
    const common = { endpoints, namespace: "", ...credentials };
    this.#producer = await started((logger) => new Producer({ ...common, logger, topics: [commandTopic] }));
    this.#consumer = await started(
      (logger) => new SimpleConsumer({ ...common, logger, consumerGroup: replyGroup, subscriptions: new Map([[replyTopic, "*"]]), awaitDuration: AWAIT_MS }),
    );
    this.#loops = Array.from({ length: RECEIVE_LOOPS }, () => this.#receive(this.#consumer!));
  }

  async send(message: CommandMessage): Promise<void> {
    const { topic, tag, keys, messageGroup, properties, body } = message;
    await this.#producer!.send({ topic, tag, keys, messageGroup, properties, body });
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#loops);
    for (const client of [this.#producer, this.#consumer]) await shutDown(client);
  }

  async #receive(consumer: SimpleConsumer): Promise<void> {
    while (!this.#stopping) {
      try {
        const messages: MessageView[] = await consumer.receive(RECEIVE_MAX, INVISIBLE_MS);
        for (const message of messages) {
          this.#options.onReply(message.properties, message.body);
          await consumer.ack(message);
        }
      } catch (error) {
        if (this.#stopping) return;
        this.#options.onProblem(`receive: ${error instanceof Error ? error.message : String(error)}`);
        await new Promise((resolve) => setTimeout(resolve, 500));
      }
    }
  }
}

async function started<T extends Startable>(make: (logger: QuietLogger) => T): Promise<T> {
  let reason = "no answer";
  for (let attempt = 1; attempt <= STARTUP_ATTEMPTS; attempt++) {
    const logger = new QuietLogger();
    const client = make(logger);
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<"timeout">((resolve) => (timer = setTimeout(() => resolve("timeout"), STARTUP_TIMEOUT_MS)));
    try {
      if ((await Promise.race([client.startup(), timeout])) !== "timeout") return client;
      reason = logger.lastError || "startup did not end";
    } catch (error) {
      reason = causeOf(error);
    } finally {
      clearTimeout(timer);
    }
    await shutDown(client);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  throw new Error(`RocketMQ: ${reason}`);
}

async function shutDown(client: Startable | null): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<void>((resolve) => (timer = setTimeout(resolve, 2_000)));
  await Promise.race([client?.shutdown().catch(() => undefined), timeout]);
  clearTimeout(timer);
}

function causeOf(error: unknown): string {
  let deepest: unknown = error;
  while (deepest instanceof Error && deepest.cause) deepest = deepest.cause;
  return deepest instanceof Error ? deepest.message : String(deepest);
}

/** The client writes to files unless it is given a logger; its errors are the only place some reasons stand. */
class QuietLogger {
  lastError = "";

  info(): void {
    // not of interest
  }

  debug(): void {
    // not of interest
  }

  warn(...parts: unknown[]): void {
    this.#keep(parts);
  }

  error(...parts: unknown[]): void {
    this.#keep(parts);
  }

  #keep(parts: readonly unknown[]): void {
    this.lastError = parts.map((part) => (part instanceof Error ? part.message : String(part))).join(" ").slice(0, 500);
  }
}
