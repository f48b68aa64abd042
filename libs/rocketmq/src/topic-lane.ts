/**
 * One topic of a sender: asks the route what the topic takes, then drains its messages by the queue
 * that fits. Everything that goes wrong here stays here: no other topic notices.
 *
 *   asking  -> the route is being read; messages wait
 *   open    -> NORMAL: batches; FIFO: single sends by group (or ordered batches, one at a time,
 *              where the topic has one write queue); both (MIXED): by the message
 *   parked  -> the topic is missing, takes neither, or is not ours: asked again every few seconds
 *              (the proxy remembers a missing topic for 20 s). Missing for longer than `parkMs`, or
 *              when the sender is told to make room: its messages are refused, so that who waits
 *              for them can set them aside and go on. A topic that is only forbidden waits for ever.
 */
import { BatchQueue } from "./batch-queue.ts";
import { FifoQueue } from "./fifo-queue.ts";
import type { LanePort, Pending, SendFailure, SendQueue } from "./lane-port.ts";
import type { TopicRoute } from "./responses.ts";
import { messageTypes, type OutgoingMessage, type SendEncoder } from "./send-encoder.ts";
import { codes, type Status } from "./status.ts";

export type RouteAnswer = { readonly kind: "route"; readonly route: TopicRoute } | { readonly kind: "away"; readonly reason: string };

/** What a lane needs of its sender. */
export interface LaneHost<M extends OutgoingMessage> {
  readonly encoder: SendEncoder;
  readonly batchMessages: number;
  readonly maxBatchMessages: number;
  readonly maxBatchBytes: number;
  readonly sendsInFlight: number;
  readonly fifoInFlight: number;
  readonly routeRetryMs: number;
  readonly parkMs: number;
  now(): number;
  /** Whether RocketMQ has stored a message of any topic after this time. */
  storedSince(atMs: number): boolean;
  maySend(message: M): boolean;
  askRoute(topic: string, done: (answer: RouteAnswer) => void): void;
  call(request: Buffer, messages: number, done: (failure: SendFailure | null) => void): void;
  bodyOf(message: M): Buffer;
  refusedAlone(message: M, status: Status): boolean;
  parked(topic: string, reason: string): void;
  opened(topic: string): void;
}

const RETRY_MIN_MS = 50;
const RETRY_MAX_MS = 500;
/** Times parkMs after which a topic counts as missing although nothing proves that RocketMQ serves. */
const UNPROVEN_FACTOR = 10;

export class TopicLane<M extends OutgoingMessage> {
  readonly topic: string;
  readonly #host: LaneHost<M>;
  readonly #port: LanePort<M>;
  /** Until the route is known. */
  #unsorted: Pending<M>[] = [];
  #normal: SendQueue<M> | null = null;
  #fifo: SendQueue<M> | null = null;
  #state: "asking" | "open" | "parked" = "asking";
  #parkedSince = 0;
  #parkedStatus: Status = { code: 0, reason: "" };
  #retryMs = RETRY_MIN_MS;
  #timer: NodeJS.Timeout | null = null;
  #closed = false;
  lastUsedAt = 0;

  constructor(topic: string, host: LaneHost<M>) {
    this.topic = topic;
    this.#host = host;
    const lane = this;
    this.#port = {
      encoder: host.encoder,
      batchMessages: host.batchMessages,
      maxBatchMessages: host.maxBatchMessages,
      maxBatchBytes: host.maxBatchBytes,
      get paused() {
        return lane.#state !== "open" || lane.#timer !== null || lane.#closed;
      },
      now: () => host.now(),
      maySend: (message) => host.maySend(message),
      bodyOf: (message) => host.bodyOf(message),
      refusedAlone: (message, status) => host.refusedAlone(message, status),
      call: (request, messages, done) =>
        host.call(request, messages, (failure) => {
          if (lane.#closed) return;
          if (failure === null || failure.kind === "refused") lane.#retryMs = RETRY_MIN_MS;
          done(failure);
        }),
      failed: (failure) => this.#failed(failure),
    };
    this.#ask();
  }

  get waiting(): number {
    return this.#unsorted.length + (this.#normal?.waiting ?? 0) + (this.#fifo?.waiting ?? 0);
  }

  get parked(): boolean {
    return this.#state === "parked";
  }

  push(item: Pending<M>): void {
    if (this.#normal === null && this.#fifo === null) this.#unsorted.push(item);
    else this.#sort(item);
  }

  #sort(item: Pending<M>): void {
    const queue = this.#fifo !== null && (this.#normal === null || item.message.group !== "") ? this.#fifo : this.#normal!;
    queue.push(item);
  }

  pump(): void {
    this.lastUsedAt = this.#host.now();
    if (this.#state === "parked") this.#refuseOverdue();
    this.#normal?.pump();
    this.#fifo?.pump();
  }

  #ask(): void {
    this.#host.askRoute(this.topic, (answer) => {
      if (this.#closed) return;
      if (answer.kind === "away") return this.#wait(this.#backOff(), () => this.#ask());
      this.#retryMs = RETRY_MIN_MS;
      const { route } = answer;
      if (route.status.code === codes.ok && (route.acceptsNormal || route.acceptsFifo)) this.#open(route);
      else this.#park(route.status.code === codes.ok ? wrongType(this.topic) : route.status);
    });
  }

  #open(route: TopicRoute): void {
    const { sendsInFlight, fifoInFlight } = this.#host;
    const moved = [...this.#unsorted, ...(this.#normal?.takeAll() ?? []), ...(this.#fifo?.takeAll() ?? [])];
    this.#unsorted = [];
    if (route.acceptsNormal) this.#normal ??= new BatchQueue(this.#port, messageTypes.normal, sendsInFlight);
    if (route.acceptsFifo) {
      this.#fifo ??= route.writeQueues === 1 ? new BatchQueue(this.#port, messageTypes.fifo, 1) : new FifoQueue(this.#port, fifoInFlight);
    }
    for (const item of moved) this.#sort(item);
    const wasParked = this.#state === "parked";
    this.#state = "open";
    if (wasParked) this.#host.opened(this.topic);
    this.pump();
  }

  #failed(failure: SendFailure): void {
    if (failure.kind === "topic") this.#park(failure.status);
    else if (this.#timer === null) this.#wait(this.#backOff(), () => this.pump());
  }

  #park(status: Status): void {
    if (this.#state !== "parked") {
      this.#parkedSince = this.#host.now();
      this.#host.parked(this.topic, `${status.reason} (${status.code})`);
    }
    this.#state = "parked";
    this.#parkedStatus = status;
    this.#refuseOverdue();
    this.#wait(this.#host.routeRetryMs, () => this.#ask());
  }

  /**
   * A missing topic cannot be told from a broker that is away behind its proxy: it is refused only
   * when RocketMQ has stored something else meanwhile, or after much longer than brokers are away.
   */
  #refuseOverdue(): void {
    const missingMs = this.#host.now() - this.#parkedSince;
    if (missingMs < this.#host.parkMs) return;
    if (this.#host.storedSince(this.#parkedSince) || missingMs >= this.#host.parkMs * UNPROVEN_FACTOR) this.#refuseParked();
  }

  /**
   * A topic nobody here has seen is refused at once. One that was there once has all its time: a
   * RocketMQ that has just started knows no topic for a while.
   */
  makeRoom(): void {
    if (this.#normal === null && this.#fifo === null) this.#refuseParked();
  }

  #refuseParked(): void {
    const status = this.#parkedStatus;
    if (this.#state !== "parked" || status.code === codes.unauthorized) return;
    const items = [...this.#unsorted, ...(this.#normal?.takeAll() ?? []), ...(this.#fifo?.takeAll() ?? [])];
    this.#unsorted = [];
    for (const { message, done } of items) done({ kind: "refused", code: status.code, reason: status.reason }, message);
  }

  #backOff(): number {
    const ms = this.#retryMs;
    this.#retryMs = Math.min(RETRY_MAX_MS, ms * 2);
    return ms;
  }

  #wait(ms: number, next: () => void): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#timer = null;
      next();
    }, ms);
  }

  close(): void {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }
}

function wrongType(topic: string): Status {
  return { code: codes.topicNotFound, reason: `topic ${topic} accepts neither NORMAL nor FIFO messages` };
}
