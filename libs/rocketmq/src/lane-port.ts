import type { OutgoingMessage, SendEncoder } from "./send-encoder.ts";
import type { Status } from "./status.ts";

export type SendOutcome =
  | { readonly kind: "sent" }
  /** Never to be stored: the message is bad, or its topic is missing for too long. */
  | { readonly kind: "refused"; readonly code: number; readonly reason: string }
  /** maySend said no: it is somebody else's now. */
  | { readonly kind: "abandoned" };

export type SendDone<M extends OutgoingMessage> = (outcome: SendOutcome, message: M) => void;

export interface Pending<M extends OutgoingMessage> {
  readonly message: M;
  readonly done: SendDone<M>;
}

export const SENT: SendOutcome = Object.freeze({ kind: "sent" });
export const ABANDONED: SendOutcome = Object.freeze({ kind: "abandoned" });

/** Why a send has not succeeded, yet. */
export type SendFailure =
  | { readonly kind: "later"; readonly reason: string }
  | { readonly kind: "topic"; readonly status: Status }
  | { readonly kind: "refused"; readonly status: Status };

/** What the queues of a topic need of it. */
export interface LanePort<M extends OutgoingMessage> {
  readonly encoder: SendEncoder;
  readonly batchMessages: number;
  readonly maxBatchMessages: number;
  readonly maxBatchBytes: number;
  /** While true nothing is sent: waiting for a retry or for the topic. */
  readonly paused: boolean;
  now(): number;
  maySend(message: M): boolean;
  /** Null: stored. Not before this returns. */
  call(request: Buffer, messages: number, done: (failure: SendFailure | null) => void): void;
  /** Pauses; pump() follows when it is over. */
  failed(failure: SendFailure): void;
  /** The body as it is to be sent. */
  bodyOf(message: M): Buffer;
  /** A single message was refused. @returns true: send it again, as bodyOf now says */
  refusedAlone(message: M, status: Status): boolean;
}

/** A queue of messages of one topic. */
export interface SendQueue<M extends OutgoingMessage> {
  readonly waiting: number;
  push(item: Pending<M>): void;
  pump(): void;
  /** Everything that is not on its way, in order; it is forgotten here. */
  takeAll(): Pending<M>[];
}
