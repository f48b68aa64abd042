/**
 * Receives the messages of one topic for one consumer group. Several long polls are in flight, each
 * for 32 messages (the server gives no more); the next one starts before the last one's messages
 * are decided, until too many are open.
 *
 * The messages of a FIFO group are handed over one by one per message group: the next when the one
 * before is done. A handler that keeps their order itself gets all of a group in that receive at once
 * (`wholeGroups`): RocketMQ gives nothing more of a queue until every message of the last receive is
 * acknowledged, so what one message takes is taken once per receive then and not once per message.
 * Either way, when one is not done, the rest of its group in that receive is left alone and comes again
 * with it, in order, when the invisible time is over.
 *
 * The acknowledgement that opens a queue again hardly wakes the polls that wait for it (measured: the
 * next messages after 85 ms, to a poll that begins then after 7), so each is followed by a new poll.
 *
 * While the proxy is away, the loops wait for the session (consumer-session.ts) to be back.
 */
import type { ClientReadableStream } from "@grpc/grpc-js";
import { RocketMqChannel, type RocketMqEndpoint } from "./channel.ts";
import { ConsumerSession } from "./consumer-session.ts";
import { decodeReceiveResponse, type ReceivedMessage } from "./received-message.ts";
import { encodeReceiveRequest, type MessageFilter } from "./requests.ts";
import { settleInOrder } from "./settle-in-order.ts";
import { ReceiveSettling, type SettlingHost } from "./settling.ts";
import { codes, type Status } from "./status.ts";

/** @param ok true: acknowledge it; false: let it come again after the invisible time. Once per message, any order. */
export type Settle = (index: number, ok: boolean) => void;

export type ReceiverEvent =
  | { readonly kind: "up" }
  | { readonly kind: "down"; readonly reason: string }
  | { readonly kind: "ack-failed"; readonly messages: number; readonly reason: string };

export interface ReceiverOptions extends RocketMqEndpoint {
  readonly topic: string;
  readonly consumerGroup: string;
  /** Default: everything. */
  readonly filter?: MessageFilter;
  /** Long polls in flight, default 4. */
  readonly loops?: number;
  /** How long a message stays hidden, at least 10,000; default 30,000. */
  readonly invisibleMs?: number;
  /** Messages handed over and not decided at which receiving pauses, default 512. */
  readonly maxOpen?: number;
  /** Of a FIFO group: `onMessages` gets all messages of a message group at once and keeps their order. Default: one by one. */
  readonly wholeGroups?: boolean;
  /** @param ordered the messages are of a FIFO group, and of one message group */
  readonly onMessages: (batch: readonly ReceivedMessage[], settle: Settle, ordered: boolean) => void;
  readonly onEvent?: (event: ReceiverEvent) => void;
  readonly onAcked?: (messages: number) => void;
}

const RECEIVE_MESSAGES = 32;
const LONG_POLL_MS = 15_000;
/** The proxy wants time left after the poll. */
const RECEIVE_TIMEOUT_MS = LONG_POLL_MS + 6000;
const TICK_MS = 200;
const PAUSE_MIN_MS = 50;
const PAUSE_MAX_MS = 1000;

export class RocketMqReceiver {
  readonly #options: ReceiverOptions;
  readonly #channel: RocketMqChannel;
  readonly #session: ConsumerSession;
  readonly #host: SettlingHost;
  readonly #request: Buffer;
  readonly #loops: number;
  readonly #maxOpen: number;
  readonly #receives = new Set<ReceiveSettling>();
  readonly #streams = new Set<ClientReadableStream<Buffer>>();
  readonly #tick: NodeJS.Timeout;
  #polling = 0;
  #pauseMs = PAUSE_MIN_MS;
  #pausedUntil = 0;
  #down = false;
  #paused = false;
  #stopping = false;
  #whenIdle: (() => void) | null = null;
  #stopped: Promise<void> | null = null;

  /** Starts at once. */
  constructor(options: ReceiverOptions) {
    this.#options = options;
    this.#loops = options.loops ?? 4;
    this.#maxOpen = options.maxOpen ?? 512;
    const filter = options.filter ?? { kind: "tag", expression: "*" };
    const { topic, consumerGroup, invisibleMs = 30_000 } = options;
    this.#channel = new RocketMqChannel(options);
    this.#request = encodeReceiveRequest({ group: consumerGroup, topic, filter, messages: RECEIVE_MESSAGES, invisibleMs, longPollMs: LONG_POLL_MS });
    this.#host = {
      channel: this.#channel,
      topic,
      consumerGroup,
      invisibleMs,
      acked: (messages) => options.onAcked?.(messages),
      ackFailed: (messages, reason) => options.onEvent?.({ kind: "ack-failed", messages, reason }),
      settled: (receive) => this.#settled(receive),
    };
    this.#session = new ConsumerSession({
      channel: this.#channel,
      topic,
      consumerGroup,
      filter,
      onUp: () => this.#poll(),
      onDown: (reason) => this.#isDown(reason),
    });
    this.#tick = setInterval(() => this.#onTick(), TICK_MS);
  }

  /** The proxy has the settings and the last receive went well. */
  get connected(): boolean {
    return this.#session.up && !this.#down;
  }

  /** Messages handed over and not decided. */
  get open(): number {
    let sum = 0;
    for (const receive of this.#receives) sum += receive.undecided;
    return sum;
  }

  /** While paused no poll begins; what is in flight may still bring messages. */
  pause(paused: boolean): void {
    this.#paused = paused;
    if (!paused) this.#poll();
  }

  #isDown(reason: string): void {
    if (this.#down || this.#stopping) return;
    this.#down = true;
    this.#options.onEvent?.({ kind: "down", reason });
  }

  #isUp(): void {
    this.#pauseMs = PAUSE_MIN_MS;
    if (!this.#down) return;
    this.#down = false;
    this.#options.onEvent?.({ kind: "up" });
  }

  #onTick(): void {
    const now = Date.now();
    for (const receive of this.#receives) receive.tick(now);
    this.#poll();
  }

  #poll(): void {
    while (this.#mayPoll(this.#loops)) this.#receive();
  }

  #mayPoll(loops: number): boolean {
    return !this.#stopping && !this.#paused && this.#session.up && this.#polling < loops && this.open < this.#maxOpen && Date.now() >= this.#pausedUntil;
  }

  #receive(): void {
    this.#polling++;
    const stream = this.#channel.serverStream("ReceiveMessage", this.#request, RECEIVE_TIMEOUT_MS);
    this.#streams.add(stream);
    const messages: ReceivedMessage[] = [];
    let status: Status | null = null;
    let over = false;
    const end = (failure: string | null): void => {
      if (over) return;
      over = true;
      this.#polling--;
      this.#streams.delete(stream);
      this.#received(messages, failure ?? problemOf(status));
    };
    stream.on("data", (bytes: Buffer) => {
      try {
        const part = decodeReceiveResponse(bytes);
        if (part.kind === "message") messages.push(part.message);
        else if (part.kind === "status") status = part.status;
      } catch (error) {
        // not acknowledged, so it comes again; what is with it in this receive is good
        this.#isDown(`a message cannot be read: ${(error as Error).message}`);
      }
    });
    stream.on("error", (error: Error & { details?: string }) => end(error.details || error.message));
    stream.on("end", () => end(null));
  }

  #received(messages: readonly ReceivedMessage[], problem: string | null): void {
    if (messages.length > 0) this.#hand(messages);
    if (this.#stopping) return this.#whenIdle?.();
    if (problem === null) this.#isUp();
    else {
      this.#isDown(problem);
      this.#session.renew(problem);
      this.#pausedUntil = Date.now() + this.#pauseMs;
      this.#pauseMs = Math.min(PAUSE_MAX_MS, this.#pauseMs * 2);
    }
    this.#poll();
  }

  #hand(messages: readonly ReceivedMessage[]): void {
    const receive = new ReceiveSettling(this.#host, messages, Date.now());
    this.#receives.add(receive);
    if (this.#session.fifo) this.#handInOrder(messages, receive);
    else this.#options.onMessages(messages, (index, ok) => receive.settle(index, ok, Date.now()), false);
  }

  /** Per message group one by one, or all; groups side by side. */
  #handInOrder(messages: readonly ReceivedMessage[], receive: ReceiveSettling): void {
    const groups = new Map<string, number[]>();
    messages.forEach((message, index) => {
      // a queue is read in order whatever its groups are called
      const key = message.group === "" ? `queue ${message.queueId}` : message.group;
      const known = groups.get(key);
      if (known) known.push(index);
      else groups.set(key, [index]);
    });
    for (const indexes of groups.values()) {
      if (this.#options.wholeGroups) {
        const settle = settleInOrder(indexes.length, (at, ok) => receive.settle(indexes[at]!, ok, Date.now()));
        this.#options.onMessages(indexes.map((index) => messages[index]!), settle, true);
        continue;
      }
      const next = (at: number): void => {
        const index = indexes[at];
        if (index === undefined) return;
        const settle: Settle = (_only, ok) => {
          receive.settle(index, ok, Date.now());
          if (ok) next(at + 1);
          else for (const rest of indexes.slice(at + 1)) receive.settle(rest, false, Date.now());
        };
        this.#options.onMessages([messages[index]!], settle, true);
      };
      next(0);
    }
  }

  #settled(receive: ReceiveSettling): void {
    this.#receives.delete(receive);
    this.#whenIdle?.();
    // one more than the loops: it is used up by what it brings, or by what the others bring meanwhile
    if (this.#session.fifo && this.#mayPoll(2 * this.#loops)) this.#receive();
    this.#poll();
  }

  /**
   * No more is received; what is open may be settled until `timeoutMs` have passed, the rest comes
   * again. Resolves at most about a second later.
   */
  stop(timeoutMs = 5000): Promise<void> {
    return (this.#stopped ??= this.#stop(timeoutMs));
  }

  async #stop(timeoutMs: number): Promise<void> {
    this.#stopping = true;
    for (const stream of this.#streams) stream.cancel();
    const idle = (): boolean => this.#polling === 0 && this.#receives.size === 0;
    if (!idle()) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, timeoutMs);
        this.#whenIdle = () => {
          if (!idle()) return;
          clearTimeout(timer);
          resolve();
        };
      });
    }
    clearInterval(this.#tick);
    await this.#session.close();
    this.#channel.close();
  }
}

function problemOf(status: Status | null): string | null {
  if (status === null) return "the receive ended without a status";
  if (status.code === codes.ok || status.code === codes.messageNotFound) return null;
  return `${status.reason} (${status.code})`;
}
