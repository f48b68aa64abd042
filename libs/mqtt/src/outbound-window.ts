/**
 * QoS 1 and 2 messages on their way to one client: in flight up to the smaller of the setting and
 * the client's Receive Maximum [MQTT-3.3.4-9], the rest queued behind it, bounded in number and
 * bytes. A packet id is free again only when its exchange is over [MQTT-2.2.1-4].
 *
 *   sent      PUBLISH left; QoS 1 waits for PUBACK, QoS 2 for PUBREC
 *   released  PUBREC came, PUBREL left; waits for PUBCOMP
 */
import type { OutgoingPublish } from "./encode-publish.ts";
import type { DeliverOptions, OutboundItem, Qos, UndeliveredItem } from "./types.ts";

export interface OutboundEntry {
  /** Null: only PUBREL is owed. */
  readonly publish: OutgoingPublish | null;
  readonly qos: Qos;
  readonly retain: boolean;
  readonly dup: boolean;
  readonly identifiers: readonly number[] | null;
  readonly item: OutboundItem;
  readonly sizeBytes: number;
  packetId: number;
  state: "queued" | "sent" | "released";
}

export interface OutboundLimits {
  readonly maxInFlight: number;
  readonly maxQueuedMessages: number;
  readonly maxQueuedBytes: number;
}

/**
 * The entry: its exchange is over. `release`: PUBREL is due. `unknown`: no such id in flight.
 * `mismatch`: the id is in flight with another exchange.
 */
export type AckResult = OutboundEntry | "release" | "unknown" | "mismatch";

export class OutboundWindow {
  readonly #limits: OutboundLimits;
  /** In order of sending. */
  readonly #inFlight = new Map<number, OutboundEntry>();
  /** Waiting, from #queueHead on. */
  #queue: OutboundEntry[] = [];
  #queueHead = 0;
  #queuedBytes = 0;
  #lastId = 0;

  constructor(limits: OutboundLimits) {
    this.#limits = limits;
  }

  get inFlight(): number {
    return this.#inFlight.size;
  }

  get queued(): number {
    return this.#queue.length - this.#queueHead;
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** @returns null when the queue is full */
  enqueue(publish: OutgoingPublish, options: DeliverOptions, sizeBytes: number): OutboundEntry | null {
    if (this.queued > 0 && (this.queued >= this.#limits.maxQueuedMessages || this.#queuedBytes + sizeBytes > this.#limits.maxQueuedBytes)) return null;
    const entry: OutboundEntry = {
      publish,
      qos: options.qos,
      retain: options.retain,
      dup: options.dup ?? false,
      identifiers: options.identifiers ?? null,
      item: options.item,
      sizeBytes,
      packetId: options.packetId ?? 0,
      state: "queued",
    };
    this.#queue.push(entry);
    this.#queuedBytes += sizeBytes;
    return entry;
  }

  /** A QoS 2 message the client already has: only its release is left. Takes part in the window at once. @returns false when the id is taken */
  resumeRelease(packetId: number, item: OutboundItem): boolean {
    if (this.#inFlight.has(packetId)) return false;
    this.#inFlight.set(packetId, { publish: null, qos: 2, retain: false, dup: true, identifiers: null, item, sizeBytes: 0, packetId, state: "released" });
    return true;
  }

  /** Next message that may be sent now, its packet id assigned; null when the window is full or nothing waits. */
  take(): OutboundEntry | null {
    if (this.#inFlight.size >= this.#limits.maxInFlight) return null;
    const entry = this.shift();
    if (entry === null) return null;
    if (entry.packetId === 0 || this.#inFlight.has(entry.packetId)) entry.packetId = this.#freeId();
    entry.state = "sent";
    this.#inFlight.set(entry.packetId, entry);
    return entry;
  }

  /** First of the queue, or null. */
  peek(): OutboundEntry | null {
    return this.#queue[this.#queueHead] ?? null;
  }

  /** Takes the first of the queue out without sending it. */
  shift(): OutboundEntry | null {
    const entry = this.#queue[this.#queueHead];
    if (entry === undefined) return null;
    this.#queueHead++;
    this.#queuedBytes -= entry.sizeBytes;
    if (this.#queueHead === this.#queue.length) {
      this.#queue = [];
      this.#queueHead = 0;
    } else if (this.#queueHead >= 64 && this.#queueHead * 2 >= this.#queue.length) {
      this.#queue = this.#queue.slice(this.#queueHead);
      this.#queueHead = 0;
    }
    return entry;
  }

  #freeId(): number {
    // terminates: maxInFlight is below 65,535 ids
    do this.#lastId = this.#lastId >= 0xffff ? 1 : this.#lastId + 1;
    while (this.#inFlight.has(this.#lastId));
    return this.#lastId;
  }

  puback(packetId: number): AckResult {
    const entry = this.#inFlight.get(packetId);
    if (!entry) return "unknown";
    if (entry.qos !== 1) return "mismatch";
    this.#inFlight.delete(packetId);
    return entry;
  }

  /** @returns `release` also for a repeated PUBREC; the entry when the client refused it (code >= 0x80) */
  pubrec(packetId: number, reasonCode: number): AckResult {
    const entry = this.#inFlight.get(packetId);
    if (!entry) return "unknown";
    if (entry.qos !== 2) return "mismatch";
    if (reasonCode >= 0x80 && entry.state === "sent") {
      this.#inFlight.delete(packetId);
      return entry;
    }
    entry.state = "released";
    return "release";
  }

  pubcomp(packetId: number): AckResult {
    const entry = this.#inFlight.get(packetId);
    if (!entry) return "unknown";
    if (entry.qos !== 2 || entry.state !== "released") return "mismatch";
    this.#inFlight.delete(packetId);
    return entry;
  }

  /** Everything not over yet, in order of delivery, and forgets it: what a resumed session sends again. */
  takeUndelivered(): UndeliveredItem[] {
    const list: UndeliveredItem[] = [];
    const add = (entry: OutboundEntry): void => {
      if (entry.item !== null && entry.item !== undefined) list.push({ item: entry.item, packetId: entry.packetId, state: entry.state });
    };
    for (const entry of this.#inFlight.values()) add(entry);
    for (let i = this.#queueHead; i < this.#queue.length; i++) add(this.#queue[i]!);
    this.#inFlight.clear();
    this.#queue = [];
    this.#queueHead = 0;
    this.#queuedBytes = 0;
    return list;
  }
}
