/**
 * The way of messages to one client: encode, window, redelivery, slow consumer. QoS 0 is dropped at
 * a consumer that does not read; QoS 1 and 2 wait in the queue, bounded. No message waits for
 * another connection.
 */
import { encodeAck, parseAck, type AckFields } from "./codec/acks.ts";
import { packetProblems, type PacketProblem } from "./codec/packet-problem.ts";
import type { OutgoingPublish } from "./encode-publish.ts";
import { OutboundWindow, type OutboundEntry } from "./outbound-window.ts";
import type { PacketOutput } from "./packet-output.ts";
import { reasonCodes } from "./reason-codes.ts";
import type { ConnectionShared } from "./connection-shared.ts";
import type { ConnectPacketInfo, DeliverOptions, DeliverResult, DeliveryOutcome, MqttConnection, OutboundItem, ProtocolLevel, UndeliveredItem } from "./types.ts";

const PUBACK = 4;
const PUBREC = 5;
const PUBREL_BYTE = 0x62;
/** A burst of one tick is handed to the socket in parts of at most this size: only what the client does not take counts as slow. */
const EARLY_FLUSH_BYTES = 65_536;

const ack: AckFields = { packetId: 0, reasonCode: 0 };

export class OutboundFlow {
  readonly #connection: MqttConnection;
  readonly #shared: ConnectionShared;
  readonly #output: PacketOutput;
  readonly #level: ProtocolLevel;
  readonly #maximumPacketBytes: number;
  readonly #maxInFlight: number;
  readonly #earlyFlushBytes: number;
  #window: OutboundWindow | null = null;
  /** Items of QoS 0 messages that the next flush writes. */
  #unwritten: OutboundItem[] | null = null;

  constructor(connection: MqttConnection, shared: ConnectionShared, request: ConnectPacketInfo, output: PacketOutput) {
    this.#connection = connection;
    this.#shared = shared;
    this.#output = output;
    this.#level = request.level;
    this.#maximumPacketBytes = request.maximumPacketBytes === 0 ? Number.POSITIVE_INFINITY : request.maximumPacketBytes;
    this.#earlyFlushBytes = Math.min(EARLY_FLUSH_BYTES, shared.settings.slowConsumerBytes / 2);
    this.#maxInFlight = Math.min(shared.settings.outboundWindowMessages, request.receiveMaximum);
  }

  get inFlight(): number {
    return this.#window?.inFlight ?? 0;
  }

  get queued(): number {
    return this.#window?.queued ?? 0;
  }

  deliver(publish: OutgoingPublish, options: DeliverOptions): DeliverResult {
    const { observer, nowMs } = this.#shared;
    if (publish.expires && !publish.countDown(nowMs())) {
      observer.expired(1);
      return "expired";
    }
    if (options.qos === 0) return this.#deliverQos0(publish, options);
    const sizeBytes = publish.sizeFor(this.#level, options.qos, options.identifiers);
    if (sizeBytes > this.#maximumPacketBytes) {
      observer.droppedTooLarge(1);
      return "too-large";
    }
    if (this.#windowed().enqueue(publish, options, sizeBytes) === null) {
      observer.droppedQueueFull(1);
      return "dropped";
    }
    this.pump();
    return "queued";
  }

  #deliverQos0(publish: OutgoingPublish, options: DeliverOptions): DeliverResult {
    const { observer, settings } = this.#shared;
    if (this.#output.pendingBytes > this.#earlyFlushBytes) this.#output.flush();
    if (this.#output.unsentBytes > settings.slowConsumerBytes) {
      observer.droppedQos0(1);
      return "dropped";
    }
    const bytes = publish.bytesFor(this.#level, 0, 0, false, options.retain, options.identifiers) as Buffer;
    if (bytes.length > this.#maximumPacketBytes) {
      observer.droppedTooLarge(1);
      return "too-large";
    }
    this.#output.push(bytes);
    const { item } = options;
    if (item !== null && item !== undefined) (this.#unwritten ??= []).push(item);
    this.#connection.requestFlush();
    return "queued";
  }

  /** @returns false when the id is in flight already */
  resumeRelease(packetId: number, item: OutboundItem): boolean {
    if (!this.#windowed().resumeRelease(packetId, item)) return false;
    this.#output.push(encodeAck(PUBREL_BYTE, packetId));
    this.#connection.requestFlush();
    return true;
  }

  #windowed(): OutboundWindow {
    const { settings } = this.#shared;
    return (this.#window ??= new OutboundWindow({
      maxInFlight: this.#maxInFlight,
      maxQueuedMessages: settings.outboundQueueMessages,
      maxQueuedBytes: settings.outboundQueueBytes,
    }));
  }

  /** Sends what the window and the socket allow. */
  pump(): void {
    const window = this.#window;
    if (window === null) return;
    let pushed = false;
    for (let next = window.peek(); next !== null; next = window.peek()) {
      const publish = next.publish!;
      if (publish.expires && !publish.countDown(this.#shared.nowMs())) {
        window.shift();
        this.#shared.observer.expired(1);
        this.#report(next, "expired", 0);
        continue;
      }
      if (this.#output.pendingBytes > this.#earlyFlushBytes) this.#output.flush();
      if (this.#output.unsentBytes > this.#shared.settings.slowConsumerBytes) break;
      const entry = window.take();
      if (entry === null) break;
      this.#output.push(publish.bytesFor(this.#level, entry.qos, entry.packetId, entry.dup, entry.retain, entry.identifiers));
      pushed = true;
    }
    if (pushed) this.#connection.requestFlush();
  }

  /** PUBACK, PUBREC or PUBCOMP of the client. */
  acknowledged(firstByte: number, bytes: Buffer, bodyOffset: number): PacketProblem | null {
    const problem = parseAck(firstByte, bytes, bodyOffset, this.#level, ack);
    if (problem) return problem;
    const { packetId, reasonCode } = ack;
    const type = firstByte >>> 4;
    const window = this.#window;
    const result = window === null ? "unknown" : type === PUBACK ? window.puback(packetId) : type === PUBREC ? window.pubrec(packetId, reasonCode) : window.pubcomp(packetId);
    if (result === "mismatch") return packetProblems.ackMismatch;
    if (result === "unknown") {
      // whatever it was, let the client finish it; a PUBREC with an error needs no answer
      if (type === PUBREC && reasonCode < 0x80) this.#pushAck(packetId, this.#level === 5 ? reasonCodes.packetIdentifierNotFound : 0);
      return null;
    }
    if (result === "release") {
      this.#pushAck(packetId, 0);
      return null;
    }
    if (window!.queued > 0) this.#connection.requestFlush();
    this.#report(result, "acknowledged", reasonCode);
    return null;
  }

  #pushAck(packetId: number, reasonCode: number): void {
    this.#output.push(encodeAck(PUBREL_BYTE, packetId, reasonCode));
    this.#connection.requestFlush();
  }

  #report(entry: OutboundEntry, outcome: DeliveryOutcome, reasonCode: number): void {
    if (entry.item !== null && entry.item !== undefined) this.#shared.handler.delivered(this.#connection, entry.item, outcome, reasonCode);
  }

  /** The output was flushed. */
  written(): void {
    const items = this.#unwritten;
    if (items === null) return;
    this.#unwritten = null;
    for (let i = 0; i < items.length; i++) this.#shared.handler.delivered(this.#connection, items[i], "written", 0);
  }

  takeUndelivered(): UndeliveredItem[] {
    const list = this.#window?.takeUndelivered() ?? [];
    for (const item of this.#unwritten ?? []) list.push({ item, packetId: 0, state: "queued" });
    this.#unwritten = null;
    return list;
  }
}
