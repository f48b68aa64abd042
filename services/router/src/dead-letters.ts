/**
 * Messages RocketMQ will never take: kept in a bounded stream of their own with what is known about
 * them, so that the log can go on and nothing acknowledged is lost. When the stream is full nothing
 * is thrown away: the log waits until somebody has looked.
 */
import type { Bus } from "@hawser/bus";
import type { Logger } from "@hawser/telemetry";
import { encodeFrame, encodeRocketMqMessage, type RocketMqMessage, streams, subjects } from "@hawser/wire";

/** Head of a frame (verb 1) on `dlq.rocketmq`; the body is a RocketMqMessage. */
export interface DeadLetterHead {
  readonly instance: string;
  /** Id of the rule, or empty: a ready message of an actor. */
  readonly rule: string;
  readonly partition: number;
  /** Place in the log. */
  readonly sequence: number;
  /** RocketMQ's code. */
  readonly code: number;
  readonly reason: string;
  readonly atMs: number;
}

export const DEAD_LETTER_VERB = 1;
const MAX_BYTES = 256 * 1024 * 1024;
const RETRY_MS = 500;
const LINE_EVERY_MS = 30_000;

export class DeadLetters {
  readonly #bus: Bus;
  readonly #log: Logger;
  #toldAtMs = Number.NEGATIVE_INFINITY;
  #stopped = false;

  constructor(bus: Bus, log: Logger) {
    this.#bus = bus;
    this.#log = log;
  }

  /** @throws when NATS is away */
  async start(replicas: number): Promise<void> {
    const config = {
      name: streams.deadLetters,
      subjects: [subjects.allDeadLetters],
      storage: "file",
      retention: "limits",
      discard: "new",
      max_bytes: MAX_BYTES,
      max_age: 0,
      num_replicas: replicas,
    } as const;
    await this.#bus.ensureStream(config as never);
  }

  /** @param done when it is stored; not at all after stop() */
  add(head: DeadLetterHead, message: RocketMqMessage, done: () => void): void {
    const bytes = encodeFrame(DEAD_LETTER_VERB, head, encodeRocketMqMessage(message));
    this.#tell({ ...head, topic: message.topic }, "message set aside: RocketMQ does not take it");
    const append = (): void => {
      if (this.#stopped) return;
      this.#bus.append(subjects.deadLetters("rocketmq"), bytes, (result) => {
        if (this.#stopped) return;
        if (result.kind === "stored") return done();
        if (result.kind === "refused") this.#tell({ reason: result.reason }, "the stream of messages set aside takes nothing more: the log waits");
        setTimeout(append, RETRY_MS);
      });
    };
    append();
  }

  /** One line now and then, however many there are; the counter has them all. */
  #tell(fields: object, text: string): void {
    const now = performance.now();
    if (now - this.#toldAtMs < LINE_EVERY_MS) return;
    this.#toldAtMs = now;
    this.#log.error(fields, text);
  }

  stop(): void {
    this.#stopped = true;
  }
}
