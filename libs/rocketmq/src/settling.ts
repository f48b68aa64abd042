/**
 * What became of the messages of one receive: one AckMessage for all that are done when the last
 * one is decided, or after a second for those that are done by then. A message that takes longer
 * than half its invisible time is renewed. Every entry of an answer is looked at: a receipt that no
 * longer counts means that the message comes again.
 */
import type { RocketMqChannel } from "./channel.ts";
import type { ReceivedMessage } from "./received-message.ts";
import { encodeAckRequest, encodeChangeInvisibleRequest, type Receipt } from "./requests.ts";
import { decodeAckResponse, decodeChangeResponse } from "./responses.ts";
import { codes } from "./status.ts";

export interface SettlingHost {
  readonly channel: RocketMqChannel;
  readonly topic: string;
  readonly consumerGroup: string;
  readonly invisibleMs: number;
  acked(messages: number): void;
  ackFailed(messages: number, reason: string): void;
  /** Everything of this receive is decided and its acks are answered. */
  settled(receive: ReceiveSettling): void;
}

const CALL_TIMEOUT_MS = 5000;
const PARTIAL_MS = 1000;
const ACK_ATTEMPTS = 5;
const RETRY_MS = 300;

export class ReceiveSettling {
  readonly #host: SettlingHost;
  /** By index; null when decided. */
  readonly #open: (Receipt | null)[];
  #undecided: number;
  #done: Receipt[] = [];
  #firstDoneAt = 0;
  #renewAt: number;
  #acksInFlight = 0;
  readonly dueAt: number;

  constructor(host: SettlingHost, messages: readonly ReceivedMessage[], now: number) {
    this.#host = host;
    this.#open = messages.map(({ messageId, receiptHandle }) => ({ messageId, receiptHandle }));
    this.#undecided = messages.length;
    this.#renewAt = now + host.invisibleMs / 2;
    this.dueAt = now + host.invisibleMs;
  }

  get undecided(): number {
    return this.#undecided;
  }

  get finished(): boolean {
    return this.#undecided === 0 && this.#done.length === 0 && this.#acksInFlight === 0;
  }

  /** @param ok false: it comes again when its invisible time is over */
  settle(index: number, ok: boolean, now: number): void {
    const receipt = this.#open[index];
    if (!receipt) return;
    this.#open[index] = null;
    this.#undecided--;
    if (ok) {
      if (this.#done.length === 0) this.#firstDoneAt = now;
      this.#done.push(receipt);
    }
    if (this.#undecided === 0) this.flush();
  }

  /** About every 200 ms. */
  tick(now: number): void {
    if (this.#done.length > 0 && now - this.#firstDoneAt >= PARTIAL_MS) this.flush();
    if (this.#undecided > 0 && now >= this.#renewAt) {
      this.#renewAt = now + this.#host.invisibleMs / 2;
      this.#open.forEach((receipt, index) => receipt && this.#renew(receipt, index));
    }
  }

  flush(): void {
    const receipts = this.#done;
    this.#done = [];
    if (receipts.length > 0) this.#ack(receipts, 1);
    else this.#check();
  }

  #check(): void {
    if (this.finished) this.#host.settled(this);
  }

  #ack(receipts: readonly Receipt[], attempt: number): void {
    const { channel, consumerGroup, topic } = this.#host;
    this.#acksInFlight++;
    channel.unary("AckMessage", encodeAckRequest(consumerGroup, topic, receipts), CALL_TIMEOUT_MS, (error, bytes) => {
      const answer = error ? null : decodeAckResponse(bytes);
      const failed = answer?.failed.size ?? 0;
      const whole = answer !== null && (answer.status.code === codes.ok || answer.status.code === codes.multipleResults || failed > 0);
      if (!whole && attempt < ACK_ATTEMPTS) {
        setTimeout(() => {
          this.#acksInFlight--;
          this.#ack(receipts, attempt + 1);
        }, RETRY_MS * attempt);
        return;
      }
      this.#acksInFlight--;
      if (!whole) this.#host.ackFailed(receipts.length, error?.details ?? answer!.status.reason);
      else {
        this.#host.acked(receipts.length - failed);
        if (failed > 0) this.#host.ackFailed(failed, [...answer.failed.values()][0]!.reason);
      }
      this.#check();
    });
  }

  #renew(receipt: Receipt, index: number): void {
    const { channel, consumerGroup, topic, invisibleMs } = this.#host;
    const request = encodeChangeInvisibleRequest(consumerGroup, topic, receipt, invisibleMs);
    channel.unary("ChangeInvisibleDuration", request, CALL_TIMEOUT_MS, (error, bytes) => {
      if (error) return;
      const { status, receiptHandle } = decodeChangeResponse(bytes);
      if (status.code === codes.ok && receiptHandle !== "" && this.#open[index] === receipt) this.#open[index] = { ...receipt, receiptHandle };
      // decided meanwhile: the ack with the old receipt may have come too late, then it comes again
    });
  }
}
