/**
 * P2P messages: to the ingress of a receiver that is there, or into the inbox of one with a
 * persistent session when the sender wants it stored, or nowhere. The sender's request is answered
 * when that is certain; the receipt comes from the ingress (delivered) or from here (stored, offline).
 *
 * A stored message is delivered from the inbox, also to a receiver that is there, so that it cannot
 * overtake those that wait.
 */
import type { Bus, BusMessage } from "@hawser/bus";
import type { ReceiptRequest } from "@hawser/inbox";
import { attributes, counter, metricNames, SpanKind, spanContextBytes, spanName, spanNames, startSpan, type Span } from "@hawser/telemetry";
import {
  decodeAnswer,
  decodeEnvelope,
  decodeP2pRequest,
  encodeAnswer,
  encodeDelivery,
  encodeEnvelope,
  encodeFrame,
  IngressVerb,
  subjects,
  type Envelope,
  type P2pRequest,
  type P2pState,
  type Receipt,
} from "@hawser/wire";
import type { Connection } from "./session-state.ts";
import { StoredAppends } from "./stored-appends.ts";

export interface P2pPathParts {
  readonly bus: Bus;
  readonly shard: number;
  /** The connection of a client, when its CONNECT was granted. */
  readonly online: (instance: string, clientId: string) => Connection | undefined;
  /** Whether the client has a persistent session. */
  readonly isStored: (instance: string, clientId: string) => boolean;
}

const HAND_OVER_TIMEOUT_MS = 3_000;
const STATES: readonly P2pState[] = ["handed", "stored", "offline", "unknown"];
const NONE: readonly number[] = [];
const answers = new Map<P2pState, Buffer>(STATES.map((state) => [state, encodeAnswer({ ok: true, state } as { ok: true })]));
const counters = new Map(STATES.map((state) => [state, counter(metricNames.p2p, { state })]));
const receipts = new Map(["delivered", "stored", "offline", "unknown"].map((state) => [state, counter(metricNames.receipts, { state })]));

export class P2pPath {
  readonly #parts: P2pPathParts;
  readonly #appends: StoredAppends;
  /** Senders of stored messages to receivers that are there: the inbox asks for them when it takes the message. */
  readonly #receipts = new Map<string, ReceiptRequest>();
  readonly #spanName: string;

  constructor(parts: P2pPathParts) {
    this.#parts = parts;
    this.#appends = new StoredAppends(parts.bus, parts.shard);
    this.#spanName = spanName(spanNames.p2p, { shard: parts.shard });
  }

  get pending(): number {
    return this.#appends.pending;
  }

  receiptOf(envelope: Envelope): ReceiptRequest | null {
    const id = idOf(envelope);
    const request = this.#receipts.get(id) ?? null;
    this.#receipts.delete(id);
    return request;
  }

  take(body: Buffer, message: BusMessage): void {
    const request = decodeP2pRequest(body);
    const envelope = decodeEnvelope(request.envelope);
    const { target } = envelope;
    if (target === null) return void message.respond(encodeAnswer({ ok: false, code: "refused", reason: "the message has no target" }));
    const span = startSpan(this.#spanName, SpanKind.CONSUMER, envelope.trace);
    const bytes = span ? encodeEnvelope({ ...envelope, trace: spanContextBytes(span) ?? envelope.trace }) : request.envelope;
    const connection = this.#parts.online(request.instance, target);
    if (request.storable && envelope.qos > 0 && this.#parts.isStored(request.instance, target)) {
      this.#store(request, envelope, bytes, connection !== undefined, message, span);
    } else if (connection) this.#hand(request, envelope, bytes, connection, message, span);
    else this.#finish("offline", request, message, span);
  }

  #hand(request: P2pRequest, { qos }: Envelope, envelope: Buffer, connection: Connection, message: BusMessage, span: Span | null): void {
    const receiver = { connection: connection.connection, sequence: connection.sequence, position: 0, qos, redelivery: false, retain: false, identifiers: NONE };
    const delivery = encodeDelivery({ receivers: [receiver], receiptTo: request.receiptTo, token: request.token, envelope });
    const frame = encodeFrame(IngressVerb.deliver, null, delivery);
    this.#parts.bus.requestCallback(subjects.ingress(connection.ingress), frame, HAND_OVER_TIMEOUT_MS, (error, data) => {
      if (!error) this.#finish(decodeAnswer(data).ok ? "handed" : "offline", request, message, span);
      else this.#finish(error.kind === "no-responders" ? "offline" : "unknown", request, message, span);
    });
  }

  #store(request: P2pRequest, envelope: Envelope, bytes: Buffer, isOnline: boolean, message: BusMessage, span: Span | null): void {
    const { instance, receiptTo, token } = request;
    const passesOn = isOnline && receiptTo !== "";
    if (passesOn) this.#receipts.set(idOf(envelope), { receiptTo, token });
    this.#appends.append({ instance, envelope: bytes }, (kind) => {
      if (kind === "stored") return this.#finish("stored", request, message, span, passesOn);
      if (passesOn) this.#receipts.delete(idOf(envelope));
      if (kind === "unknown") return this.#finish("unknown", request, message, span);
      span?.end();
      message.respond(encodeAnswer({ ok: false, code: "busy", reason: "the inbox takes nothing more" }));
    });
  }

  /** @param passedOn the receipt will come with the delivery */
  #finish(state: P2pState, request: P2pRequest, message: BusMessage, span: Span | null, passedOn = false): void {
    counters.get(state)!.add(1);
    span?.setAttribute(attributes.outcome, state).end();
    message.respond(answers.get(state)!);
    if (request.receiptTo === "" || state === "handed" || passedOn) return;
    receipts.get(state)!.add(1);
    const receipt: Receipt = { token: request.token, state };
    this.#parts.bus.publish(request.receiptTo, Buffer.from(JSON.stringify(receipt)));
  }
}

function idOf({ origin, sequence }: Envelope): string {
  return `${origin}/${sequence}`;
}
