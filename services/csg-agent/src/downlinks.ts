/**
 * Messages down: P2P requests to the session owner of a gateway, their outcomes and receipts back to
 * the machine, and questions about its connection.
 */
import type { ActorKey } from "@hawser/actors";
import type { Bus, Subscription } from "@hawser/bus";
import type { CatalogReader } from "@hawser/catalog";
import type { CallDone, ShardCaller } from "@hawser/shards";
import { attributes, spanContextBytes, SpanKind, spanName, spanNames, startSpan, traceparentOf, counter, metricNames } from "@hawser/telemetry";
import {
  decodeAnswer,
  encodeFrame,
  encodeP2pRequest,
  encodeTraceparent,
  type P2pOutcome,
  type Receipt,
  SessionVerb,
  type SessionSummary,
  shardOf,
  subjects,
} from "@hawser/wire";
import { downlinkEnvelope } from "./downlink-envelope.ts";
import type { DownlinkOutcome, GatewayEffect, GatewayMessage } from "@hawser/command-engine";

export interface DownlinkOptions {
  readonly bus: Bus;
  readonly member: string;
  readonly catalog: CatalogReader;
  readonly sessions: ShardCaller;
  readonly shards: number;
  readonly tell: (key: ActorKey, message: GatewayMessage) => void;
  readonly now: () => number;
}

interface Awaited {
  readonly key: ActorKey;
  readonly id: string;
  readonly attempt: number;
  readonly since: number;
}

/** A receipt later than this tells nothing any more. */
const RECEIPT_WAIT_MS = 60_000;
const CALL_TIMEOUT_MS = 5_000;

export class Downlinks {
  readonly #options: DownlinkOptions;
  readonly #receipts = new Map<string, Awaited>();
  readonly #resends = counter(metricNames.commandResends);
  #subscription: Subscription | null = null;
  #sequence = 0;
  #token = 0;

  constructor(options: DownlinkOptions) {
    this.#options = options;
  }

  start(): void {
    this.#subscription = this.#options.bus.subscribe(subjects.receipts(this.#options.member), (message) => this.#receipt(message.data));
  }

  stop(): void {
    this.#subscription?.unsubscribe();
  }

  send(key: ActorKey, gateway: string, effect: GatewayEffect & { kind: "downlink" }): void {
    const { tracked } = effect;
    const csg = this.#options.catalog.instance(key.instance)?.csg;
    if (!csg) {
      // without a catalogue nobody can tell the topic; the machine tries again
      if (tracked) this.#tell(key, { kind: "outcome", ...tracked, state: "unsent" });
      return;
    }
    const { id, attempt } = tracked ?? { id: "", attempt: 0 };
    if (attempt > 1) this.#resends.add(1);
    const parent = effect.traceparent === "" ? null : encodeTraceparent(effect.traceparent);
    const span = startSpan(spanName(spanNames.commandSend, { method: effect.method }), SpanKind.PRODUCER, parent, {
      [attributes.gatewayId]: gateway,
      [attributes.conversationId]: id,
      [attributes.attempt]: attempt,
      "csg.message": effect.message.k,
    });
    const traceparent = traceparentOf(span);
    const message = traceparent === null || effect.message.k !== "req" ? effect.message : { ...effect.message, traceparent };
    const now = this.#options.now();
    const token = tracked ? (++this.#token).toString(36) : "";
    if (tracked) this.#receipts.set(token, { key, id, attempt, since: now });
    const { origin, sequence } = { origin: this.#options.member, sequence: ++this.#sequence };
    const { clientId, instance } = key;
    const way = { origin, sequence, clientId, gateway, csgUp: csg.up, csgDown: csg.down, now, trace: spanContextBytes(span) };
    const envelope = downlinkEnvelope(message, way);
    const receiptTo = tracked ? subjects.receipts(this.#options.member) : "";
    const request = encodeFrame(SessionVerb.p2p, null, encodeP2pRequest({ instance, storable: false, receiptTo, token, envelope }));
    this.#call(key, request, (error, answer) => {
      const state = error ? (error.kind === "unavailable" ? "unsent" : "failed") : outcomeOf(answer);
      span?.setAttribute(attributes.outcome, state);
      span?.end();
      if (tracked) this.#tell(key, { kind: "outcome", ...tracked, state });
    });
  }

  /** Asks for the connection's state. `failed` when nobody could say. */
  probe(key: ActorKey, done: (summary: SessionSummary | null) => void): void {
    const request = encodeFrame(SessionVerb.query, { instance: key.instance, clientId: key.clientId });
    this.#call(key, request, (error, answer) => {
      if (error) return done(null);
      const summary = decodeAnswer<SessionSummary>(answer);
      done(summary.ok ? summary : null);
    });
  }

  drop(key: ActorKey): void {
    const request = encodeFrame(SessionVerb.drop, { instance: key.instance, clientId: key.clientId, reason: "kicked" });
    this.#call(key, request, () => {
      // nothing depends on it: what waits is sent again either way
    });
  }

  sweep(now: number): void {
    for (const [token, { since }] of this.#receipts) {
      if (since + RECEIPT_WAIT_MS > now) return;
      this.#receipts.delete(token);
    }
  }

  #call(key: ActorKey, request: Buffer, done: CallDone): void {
    const { sessions, shards } = this.#options;
    sessions.call(shardOf(key.instance, key.clientId, shards), request, { timeoutMs: CALL_TIMEOUT_MS }, done);
  }

  #receipt(data: Buffer): void {
    let receipt: Receipt;
    try {
      receipt = JSON.parse(data.toString()) as Receipt;
    } catch {
      return;
    }
    const awaited = this.#receipts.get(receipt.token);
    if (!awaited) return;
    this.#receipts.delete(receipt.token);
    const { key, id, attempt } = awaited;
    this.#tell(key, { kind: "receipt", id, attempt, delivered: receipt.state === "delivered" });
  }

  #tell(key: ActorKey, message: GatewayMessage): void {
    this.#options.tell(key, message);
  }
}

function outcomeOf(answer: Buffer): DownlinkOutcome {
  const outcome = decodeAnswer<P2pOutcome>(answer);
  // an owner that refuses has not sent it
  if (!outcome.ok) return "unsent";
  return outcome.state === "offline" ? "offline" : outcome.state === "unknown" ? "failed" : "handed";
}
