/**
 * Requests to the owner of an actor shard, on `a.<service>.<shard>.<epoch>`, as frames. The key is
 * always a Client ID. An answer means: durably accepted, for what needs it.
 */
import { ByteReader, ByteWriter } from "./bytes.ts";
import type { Answer } from "./frame.ts";

export const ActorVerb = {
  /** body Uplink -> Answer: a publish of the client on a parent bound by an actor rule. */
  uplink: 1,
  /** head SubmitHead, body = parameters -> Answer: a message of RocketMQ or REST for the actor. */
  submit: 2,
  /** body: instance (short text) and a presence event -> Answer */
  presence: 3,
  /** head of the service's own (get, list, cancel ...) -> Answer */
  ask: 4,
  /**
   * body: SubmitAll -> SubmitAllAnswer: submits that must not overtake one another. The owner takes
   * them in turn and stops at the first it cannot take now.
   */
  submitAll: 5,
} as const;

/**
 * Idempotent by the envelope's (origin, sequence), which a retry and the way by the log keep:
 * packet ids are reused, those are not.
 */
export interface Uplink {
  readonly instance: string;
  readonly envelope: Buffer;
}

export function encodeUplink(uplink: Uplink): Buffer {
  return new ByteWriter(48 + uplink.envelope.length).shortText(uplink.instance).bytes(uplink.envelope).finish();
}

/** @throws WireFormatError */
export function decodeUplink(body: Uint8Array): Uplink {
  const reader = new ByteReader(body);
  return { instance: reader.shortText(), envelope: reader.rest() };
}

/** What an inbound rule of kind actor hands over: a RocketMQ message as it came. */
export interface SubmitHead {
  readonly instance: string;
  readonly clientId: string;
  readonly properties: Readonly<Record<string, string>>;
  readonly tag: string;
  readonly keys: readonly string[];
  readonly messageId: string;
  readonly bornAtMs: number;
  /** Text form, or empty when the message was not sampled. */
  readonly traceparent: string;
}

/** @param submits frames of verb `submit` */
export function encodeSubmitAll(submits: readonly Buffer[]): Buffer {
  let sizeBytes = 0;
  for (const submit of submits) sizeBytes += 4 + submit.length;
  const writer = new ByteWriter(sizeBytes);
  for (const submit of submits) writer.u32(submit.length).bytes(submit);
  return writer.finish();
}

/** @throws WireFormatError */
export function decodeSubmitAll(body: Uint8Array): Buffer[] {
  let rest = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const submits: Buffer[] = [];
  while (rest.length > 0) {
    const reader = new ByteReader(rest);
    submits.push(reader.bytes(reader.u32()));
    rest = reader.rest();
  }
  return submits;
}

/** One answer per submit, in order; fewer: the ones after were not taken. Never none. */
export type SubmitAllAnswer = Answer<{ readonly answers: readonly Answer[] }>;
