/**
 * What the session owners and this ingress say to each other: orders on `i.<member>` (close,
 * deliver, list), acknowledged positions (collected per tick), receipts, and the list of this
 * ingress's connections of a shard, sent when a new owner asks and after every outage or pause of
 * this process, because somebody else may hold its clients by now.
 */
import type { Bus, BusMessage, Subscription } from "@hawser/bus";
import { closeReasonOf, type OutboundItem, type UndeliveredItem } from "@hawser/mqtt";
import type { ErrorCode } from "@hawser/errors";
import type { ShardCaller, ShardDirectory } from "@hawser/shards";
import {
  decodeAnswer,
  decodeDelivery,
  decodeEnvelope,
  decodeFrame,
  encodeAnswer,
  encodeFrame,
  IngressVerb,
  SessionVerb,
  subjects,
  type AckBatch,
  type AttachList,
  type AttachOutcome,
  type CloseOrder,
  type Delivery,
  type Envelope,
  type Frame,
  type Receipt,
} from "@hawser/wire";
import type { Client } from "./client.ts";
import type { ClientRegistry } from "./client-registry.ts";
import type { IngressTelemetry } from "./ingress-telemetry.ts";
import { outgoingOf } from "./outgoing.ts";

/** What travels with an outgoing message until its receiver has acknowledged it. */
export interface DeliveryItem {
  readonly position: number;
  readonly receiptTo: string;
  readonly token: string;
}

const ATTACH_TIMEOUT_MS = 5_000;
const ATTACH_PATIENCE_MS = 30_000;
/** An owner may grant a CONNECT some seconds after its ingress has given up, and spares for 15 s what it has just granted. */
const LIST_LATER_MS = 30_000;
const OK = encodeAnswer({ ok: true });
const closeCodes = {
  takeover: "HAWSER_E_TAKEN_OVER",
  kicked: "HAWSER_E_KICKED",
  "session-lost": "HAWSER_E_SHUTTING_DOWN",
} as const satisfies Record<CloseOrder["reason"], ErrorCode>;

const PACKET_IDS = 65_535;

/**
 * A stored message is sent under the same packet id on whatever connection and ingress
 * [MQTT-4.4.0-1]: a client that has received a QoS 2 message and not seen its PUBREL would take
 * another message under that id for the same one. 0 = any free one.
 */
export function packetIdOf(position: number): number {
  return position === 0 ? 0 : (position % PACKET_IDS) + 1;
}

export interface SessionLinkParts {
  readonly member: string;
  readonly bus: Bus;
  readonly sessions: ShardCaller;
  readonly directory: ShardDirectory;
  readonly clients: ClientRegistry;
  readonly telemetry: IngressTelemetry;
}

export class SessionLink {
  readonly #parts: SessionLinkParts;
  #subscription: Subscription | null = null;
  readonly #acks = new Map<Client, number[]>();
  #acksScheduled = false;
  readonly #listsDue = new Map<number, NodeJS.Timeout>();

  constructor(parts: SessionLinkParts) {
    this.#parts = parts;
  }

  start(): void {
    const { bus, member } = this.#parts;
    this.#subscription = bus.subscribe(subjects.ingress(member), (message) => this.#order(message));
  }

  stop(): void {
    this.#subscription?.unsubscribe();
    for (const timer of this.#listsDue.values()) clearTimeout(timer);
    this.#listsDue.clear();
  }

  #order(message: BusMessage): void {
    let frame: Frame;
    let delivery: Delivery | null;
    let envelope: Envelope | null;
    try {
      frame = decodeFrame(message.data);
      delivery = frame.verb === IngressVerb.deliver ? decodeDelivery(frame.body) : null;
      envelope = delivery && decodeEnvelope(delivery.envelope);
    } catch (error) {
      // of a later format, or of nobody: its sender is told, the process goes on
      this.#parts.telemetry.badMessage("order", error);
      return void message.respond(encodeAnswer({ ok: false, code: "refused", reason: "cannot be read" }));
    }
    if (delivery && envelope) this.#deliver(delivery, envelope, message);
    else if (frame.verb === IngressVerb.close) this.#close(frame.head as CloseOrder, message);
    else if (frame.verb === IngressVerb.list) this.attach((frame.head as { shard: number }).shard);
    else message.respond(encodeAnswer({ ok: false, code: "refused", reason: `verb ${frame.verb}` }));
  }

  #close(order: CloseOrder, message: BusMessage): void {
    const client = this.#parts.clients.numbered(order.connection);
    if (!client) return void message.respond(OK);
    client.connection.close(closeReasonOf(closeCodes[order.reason]));
    client.whenResolved(() => message.respond(OK));
  }

  #deliver(delivery: Delivery, envelope: Envelope, message: BusMessage): void {
    const span = this.#parts.telemetry.startDeliver(envelope);
    const outgoing = outgoingOf(envelope, span);
    let handed = false;
    for (const receiver of delivery.receivers) {
      const client = this.#parts.clients.numbered(receiver.connection);
      if (!client || client.closed || (client.sequence !== receiver.sequence && client.sequence !== "")) continue;
      if (receiver.position > 0 && client.positionsInFlight.has(receiver.position)) {
        handed = true;
        continue;
      }
      const item: DeliveryItem = { position: receiver.position, receiptTo: delivery.receiptTo, token: delivery.token };
      const { qos, retain, redelivery: dup, identifiers } = receiver;
      const result = client.connection.deliver(outgoing, { qos, retain, dup, identifiers, item, packetId: packetIdOf(receiver.position) });
      if (result === "queued") {
        handed = true;
        if (item.position > 0) client.positionsInFlight.add(item.position);
      }
      // what the client cannot take, or what has expired, is over [MQTT-3.1.2-25]
      else if (result === "too-large" || result === "expired") this.#acknowledge(client, item);
    }
    span?.end();
    if (message.reply) message.respond(handed ? OK : encodeAnswer({ ok: false, code: "stale", reason: "no such connection" }));
  }

  /** An outgoing message has reached its end: the client has it, or (received = false) it expired while it waited. */
  delivered(client: Client, outbound: OutboundItem, received: boolean): void {
    const item = outbound as DeliveryItem;
    if (item.receiptTo !== "") this.#receipt(item, received ? "delivered" : "offline");
    this.#acknowledge(client, item);
  }

  #acknowledge(client: Client, item: DeliveryItem): void {
    if (item.position === 0) return;
    client.positionsInFlight.delete(item.position);
    const positions = this.#acks.get(client);
    if (positions) positions.push(item.position);
    else this.#acks.set(client, [item.position]);
    if (this.#acksScheduled) return;
    this.#acksScheduled = true;
    setImmediate(() => this.#sendAcks());
  }

  undelivered(items: readonly UndeliveredItem[]): void {
    for (const outbound of items) {
      const item = outbound.item as DeliveryItem | null;
      if (item && item.receiptTo !== "" && item.position === 0) this.#receipt(item, "offline");
    }
  }

  #receipt(item: DeliveryItem, state: Receipt["state"]): void {
    const receipt: Receipt = { token: item.token, state };
    this.#parts.bus.publish(item.receiptTo, Buffer.from(JSON.stringify(receipt)));
  }

  #sendAcks(): void {
    this.#acksScheduled = false;
    const perShard = new Map<number, (readonly [string, string, string, readonly number[]])[]>();
    for (const [client, positions] of this.#acks) {
      const acks = perShard.get(client.shard) ?? [];
      acks.push([client.instance.id, client.clientId, client.sequence, positions]);
      perShard.set(client.shard, acks);
    }
    this.#acks.clear();
    for (const [shard, acks] of perShard) {
      const owner = this.#parts.directory.owner(shard);
      // lost with an owner that is gone: the next one delivers again, with DUP
      if (owner) this.#parts.bus.publish(subjects.sessionOwner(shard, owner.epoch), encodeFrame(SessionVerb.acks, { acks } satisfies AckBatch));
    }
  }

  /** Tells the owner of a shard every connection this ingress holds of it; those that lost are closed. */
  attach(shard: number, done: () => void = () => undefined): void {
    const connections = [];
    for (const client of this.#parts.clients.all()) {
      if (client.shard !== shard || client.closed || client.sequence === "") continue;
      connections.push({
        instance: client.instance.id,
        clientId: client.clientId,
        connection: client.number,
        level: client.level,
        sessionExpirySeconds: client.sessionExpirySeconds,
        clientIp: client.clientIp,
        channelId: client.channelId,
        sequence: client.sequence,
      });
    }
    const list: AttachList = { ingress: this.#parts.member, connections };
    const options = { timeoutMs: ATTACH_TIMEOUT_MS, patienceMs: ATTACH_PATIENCE_MS };
    this.#parts.sessions.call(shard, encodeFrame(SessionVerb.attach, list), options, (error, bytes) => {
      const answer = error ? null : decodeAnswer<AttachOutcome>(bytes);
      const refused = answer?.ok ? answer.refused : [];
      for (const { connection } of refused) this.#parts.clients.numbered(connection)?.connection.close(closeReasonOf("HAWSER_E_TAKEN_OVER"));
      done();
    });
  }

  /** A CONNECT had no answer: should it be granted after all, only a list tells the owner that nobody is there. */
  listLater(shard: number): void {
    if (this.#listsDue.has(shard)) return;
    const due = (): void => {
      this.#listsDue.delete(shard);
      this.attach(shard);
    };
    this.#listsDue.set(shard, setTimeout(due, LIST_LATER_MS).unref());
  }

  /** After an outage or a pause of this process: every shard it holds connections of. */
  attachAll(done: () => void): void {
    const shards = new Set<number>();
    for (const client of this.#parts.clients.all()) shards.add(client.shard);
    let left = shards.size;
    if (left === 0) return done();
    for (const shard of shards) {
      this.attach(shard, () => {
        if (--left === 0) done();
      });
    }
  }
}
