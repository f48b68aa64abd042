/**
 * Sends messages to RocketMQ until each is stored or refused for ever. Per topic a lane of its own
 * (topic-lane.ts); all on one channel, without a telemetry session: the proxy asks none of a
 * producer. Messages of one tick leave together.
 *
 * While RocketMQ is away everything waits and is tried again for ever, with a line when it begins
 * and one when it is over. Stored at least once: an answer that got lost means sending again.
 */
import { RocketMqChannel, type RocketMqEndpoint } from "./channel.ts";
import type { SendDone, SendFailure, SendOutcome } from "./lane-port.ts";
import { legalKeys, legalTag } from "./legal-properties.ts";
import { encodeRouteRequest } from "./requests.ts";
import { decodeRouteResponse, decodeSendResponse } from "./responses.ts";
import { type OutgoingMessage, SendEncoder } from "./send-encoder.ts";
import { codes, sendVerdict, type Status } from "./status.ts";
import { type LaneHost, type RouteAnswer, TopicLane } from "./topic-lane.ts";

export type { SendDone, SendOutcome };

/** What an operator should hear. `away` and `back` are about RocketMQ as a whole. */
export type SenderEvent =
  | { readonly kind: "away"; readonly reason: string }
  | { readonly kind: "back"; readonly awayMs: number }
  | { readonly kind: "parked" | "opened"; readonly topic: string; readonly reason: string };

export interface SenderOptions<M extends OutgoingMessage> extends RocketMqEndpoint {
  readonly onEvent?: (event: SenderEvent) => void;
  /** Of every answered batch. */
  readonly onBatch?: (messages: number, seconds: number) => void;
  /** Asked right before a message leaves; false: its outcome is `abandoned`. */
  readonly maySend?: (message: M) => boolean;
  /** Messages of a batch, default 128; a backlog of four batches makes them up to 512. */
  readonly batchMessages?: number;
  /** Batches of a topic on their way, default 4. */
  readonly sendsInFlight?: number;
  /** Message groups of a FIFO topic on their way, default 64. */
  readonly fifoInFlight?: number;
  /** Pause between two looks for a missing topic, default 3000. */
  readonly routeRetryMs?: number;
  /** How long messages wait for a missing topic before they are refused, default 60,000. */
  readonly parkMs?: number;
}

/** How long a proxy may still say that a topic is missing which has come back. */
const PROXY_FORGETS_MS = 20_000;
const CALL_TIMEOUT_MS = 10_000;
/** The broker takes 4 MiB in all, with what it adds itself. */
export const BATCH_MAX_BYTES = 3_670_016;
const LANE_IDLE_MS = 600_000;
const SWEEP_MS = 60_000;
/** What stands for an empty body where the proxy refuses one. */
const PLACEHOLDER = Buffer.from([0]);

export class RocketMqSender<M extends OutgoingMessage = OutgoingMessage> {
  readonly #options: SenderOptions<M>;
  readonly #channel: RocketMqChannel;
  readonly #host: LaneHost<M>;
  readonly #lanes = new Map<string, TopicLane<M>>();
  readonly #dirty = new Set<TopicLane<M>>();
  readonly #sweep: NodeJS.Timeout;
  #scheduled = false;
  #awaySince = 0;
  #backSince = Date.now();
  #storedAt = 0;
  #refusesEmpty = false;
  #closed = false;

  constructor(options: SenderOptions<M>) {
    this.#options = options;
    this.#channel = new RocketMqChannel(options);
    const batchMessages = options.batchMessages ?? 128;
    this.#host = {
      encoder: new SendEncoder(),
      batchMessages,
      maxBatchMessages: Math.max(batchMessages, 512),
      maxBatchBytes: BATCH_MAX_BYTES,
      sendsInFlight: options.sendsInFlight ?? 4,
      fifoInFlight: options.fifoInFlight ?? 64,
      routeRetryMs: options.routeRetryMs ?? 3000,
      parkMs: options.parkMs ?? 60_000,
      now: Date.now,
      storedSince: (atMs) => this.#storedAt > atMs,
      maySend: options.maySend ?? (() => true),
      askRoute: (topic, done) => this.#askRoute(topic, done),
      call: (request, messages, done) => this.#call(request, messages, done),
      bodyOf: (message) => (message.body.length === 0 && this.#refusesEmpty ? PLACEHOLDER : message.body),
      refusedAlone: (message, status) => this.#learnEmpty(message, status),
      parked: (topic, reason) => options.onEvent?.({ kind: "parked", topic, reason }),
      opened: (topic) => options.onEvent?.({ kind: "opened", topic, reason: "" }),
    };
    this.#sweep = setInterval(() => this.#forgetIdle(), SWEEP_MS);
    this.#sweep.unref();
  }

  /** Messages that are not decided yet, those on their way not counted. */
  get waiting(): number {
    let sum = 0;
    for (const lane of this.#lanes.values()) sum += lane.waiting;
    return sum;
  }

  get parkedTopics(): string[] {
    return [...this.#lanes.values()].filter((lane) => lane.parked).map((lane) => lane.topic);
  }

  /**
   * Makes room: messages of topics nobody here has seen are refused now and not when their time is
   * over. Not while RocketMQ is coming back: a proxy that has just started knows no topic, and
   * remembers that for 20 s.
   */
  refuseParked(): void {
    const backForMs = Date.now() - this.#backSince;
    const serves = this.#storedAt > this.#backSince && backForMs >= PROXY_FORGETS_MS;
    if (this.#awaySince !== 0 || (!serves && backForMs < this.#host.parkMs)) return;
    for (const lane of this.#lanes.values()) lane.makeRoom();
  }

  get connected(): boolean {
    return this.#awaySince === 0;
  }

  /**
   * @param message its properties legal (legalProperties)
   * @param done once, not before this returns; not at all after close()
   */
  send(message: M, done: SendDone<M>): void {
    if (this.#closed) return;
    if (message.body.length + 65_536 > BATCH_MAX_BYTES) {
      const outcome: SendOutcome = { kind: "refused", code: codes.bodyTooLarge, reason: `body of ${message.body.length} bytes` };
      setImmediate(done, outcome, message);
      return;
    }
    let lane = this.#lanes.get(message.topic);
    if (!lane) this.#lanes.set(message.topic, (lane = new TopicLane(message.topic, this.#host)));
    lane.push({ message: withLegalNames(message), done });
    this.#dirty.add(lane);
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.#pump());
  }

  #pump(): void {
    this.#scheduled = false;
    for (const lane of this.#dirty) lane.pump();
    this.#dirty.clear();
  }

  #askRoute(topic: string, done: (answer: RouteAnswer) => void): void {
    this.#channel.unary("QueryRoute", encodeRouteRequest(topic, this.#channel.addresses), CALL_TIMEOUT_MS, (error, response) => {
      if (this.#closed) return;
      if (error) {
        this.#away(error.details || error.message);
        return done({ kind: "away", reason: error.details });
      }
      const route = decodeRouteResponse(response);
      if (sendVerdict(route.status.code) === "later") return done({ kind: "away", reason: route.status.reason });
      this.#back();
      done({ kind: "route", route });
    });
  }

  #call(request: Buffer, messages: number, done: (failure: SendFailure | null) => void): void {
    const startedAt = performance.now();
    this.#channel.unary("SendMessage", request, CALL_TIMEOUT_MS, (error, response) => {
      if (this.#closed) return;
      if (error) {
        this.#away(error.details || error.message);
        return done({ kind: "later", reason: error.details });
      }
      const status = decodeSendResponse(response);
      const verdict = sendVerdict(status.code);
      if (verdict === "later") {
        this.#away(`${status.reason} (${status.code})`);
        return done({ kind: "later", reason: status.reason });
      }
      this.#back();
      if (verdict === "stored") this.#storedAt = Date.now();
      if (verdict === "stored") this.#options.onBatch?.(messages, (performance.now() - startedAt) / 1000);
      done(verdict === "stored" ? null : { kind: verdict, status });
    });
  }

  #away(reason: string): void {
    if (this.#awaySince !== 0) return;
    this.#awaySince = Date.now();
    this.#options.onEvent?.({ kind: "away", reason });
  }

  #back(): void {
    if (this.#awaySince === 0) return;
    this.#backSince = Date.now();
    const awayMs = this.#backSince - this.#awaySince;
    this.#awaySince = 0;
    this.#options.onEvent?.({ kind: "back", awayMs });
  }

  /** The proxy refuses empty bodies unless a switch of its own says otherwise: one zero byte stands for them. */
  #learnEmpty(message: M, status: Status): boolean {
    if (status.code !== codes.bodyEmpty || message.body.length > 0 || this.#refusesEmpty) return false;
    this.#refusesEmpty = true;
    return true;
  }

  #forgetIdle(): void {
    const before = Date.now() - LANE_IDLE_MS;
    for (const [topic, lane] of this.#lanes) {
      if (lane.waiting > 0 || lane.lastUsedAt > before) continue;
      lane.close();
      this.#lanes.delete(topic);
    }
  }

  /** What is not decided by now never is: nobody is told. */
  close(): void {
    this.#closed = true;
    clearInterval(this.#sweep);
    for (const lane of this.#lanes.values()) lane.close();
    this.#channel.close();
  }
}

function withLegalNames<M extends OutgoingMessage>(message: M): M {
  const tag = message.tag === "" ? "" : legalTag(message.tag);
  const keys = message.keys.length === 0 ? message.keys : legalKeys(message.keys);
  return tag === message.tag && keys === message.keys ? message : { ...message, tag, keys };
}
