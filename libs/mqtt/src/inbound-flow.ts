/**
 * The way of a client's PUBLISHes through one connection: topic aliases, QoS 2 packet ids, Receive
 * Maximum, and the window of what still waits for its acknowledgement.
 *
 *   QoS 2 id:  receiving (PUBREC owed) -> received (PUBREL awaited) -> releasing (PUBCOMP owed) -> free
 *
 * A PUBLISH whose id is open is never handed on again: while receiving, its PUBREC will come
 * anyway; once received, PUBREC is repeated [MQTT-4.3.3-10].
 */
import { ackKind, InboundWindow, type AckKind, type DrainOptions } from "./inbound-window.ts";
import { newPublishFields, parsePublish } from "./codec/publish.ts";
import { parseAck, type AckFields } from "./codec/acks.ts";
import { packetProblems, type PacketProblem } from "./codec/packet-problem.ts";
import { reasonCodes } from "./reason-codes.ts";
import type { ConnectionShared } from "./connection-shared.ts";
import type { ConnectAccept, ConnectPacketInfo, InboundSlot, MqttConnection, ProtocolLevel } from "./types.ts";

const RECEIVING = 1;
const RECEIVED = 2;
const RELEASING = 3;

// all connections parse one packet after the other
const fields = newPublishFields();
const ack: AckFields = { packetId: 0, reasonCode: 0 };

export class InboundFlow {
  readonly #connection: MqttConnection;
  readonly #shared: ConnectionShared;
  readonly #level: ProtocolLevel;
  readonly #drainOptions: DrainOptions;
  readonly #tellsReasons: boolean;
  readonly #refusesRetain: boolean;
  #window: InboundWindow | null = null;
  #openIds: Map<number, number> | null = null;
  #aliases: Map<number, string> | null = null;
  #qos1Open = 0;

  constructor(connection: MqttConnection, shared: ConnectionShared, request: ConnectPacketInfo, accept: Pick<ConnectAccept, "openReceiveIds" | "retainAvailable">) {
    this.#connection = connection;
    this.#shared = shared;
    this.#level = request.level;
    // [MQTT-3.1.2-29]
    this.#tellsReasons = request.requestProblemInformation && request.level === 5;
    this.#drainOptions = {
      withReasonCodes: request.level === 5,
      onAck: (kind, packetId, code) => this.#onAck(kind, packetId, code),
      maximumPacketBytes: request.maximumPacketBytes,
    };
    // [MQTT-3.2.2-14]; 3.x cannot be told and is not blamed
    this.#refusesRetain = request.level === 5 && accept.retainAvailable === false;
    const open = accept.openReceiveIds ?? [];
    if (open.length > 0) this.#openIds = new Map(open.map((id) => [id, RECEIVED]));
  }

  /** Received QoS 2 ids whose PUBREL has not come. */
  get openReceiveIds(): number[] {
    const ids: number[] = [];
    for (const [id, state] of this.#openIds ?? []) if (state !== RECEIVING) ids.push(id);
    return ids;
  }

  publish(firstByte: number, bytes: Buffer, bodyOffset: number): PacketProblem | null {
    const problem = parsePublish(firstByte, bytes, bodyOffset, this.#level, fields);
    if (problem) return problem;
    if (fields.retain && this.#refusesRetain) return packetProblems.retainNotSupported;
    let topic = fields.topic;
    if (fields.topicAlias >= 0) {
      const resolved = this.#resolveAlias(fields.topicAlias, topic);
      if (typeof resolved !== "string") return resolved;
      topic = resolved;
    }
    const { qos, packetId } = fields;
    const { handler, observer, settings } = this.#shared;
    const packet = {
      topic,
      qos,
      dup: fields.dup,
      retain: fields.retain,
      packetId,
      properties: fields.properties,
      payload: fields.payload,
      packetBytes: bytes.length,
    };
    fields.properties = null;
    if (qos === 0) {
      handler.publish(this.#connection, packet, null);
      return null;
    }
    const window = this.#windowed();
    const open = this.#openIds?.get(packetId);
    if (open !== undefined) {
      if (qos === 1) {
        if (this.#level !== 5) return packetProblems.ackMismatch;
        this.#completeAtOnce(window, packetId, ackKind.puback, reasonCodes.packetIdentifierInUse, bytes.length);
        return null;
      }
      observer.duplicate();
      if (open === RECEIVED) this.#completeAtOnce(window, packetId, ackKind.pubrec, 0, bytes.length);
      return null;
    }
    if (this.#level === 5 && this.#qos1Open + (this.#openIds?.size ?? 0) >= settings.inboundWindowMessages) return packetProblems.receiveMaximum;
    let slot: InboundSlot;
    if (qos === 1) {
      this.#qos1Open++;
      slot = window.open(packetId, ackKind.puback, bytes.length);
    } else {
      this.#openIds ??= new Map();
      if (this.#openIds.size >= settings.maxOpenReceiveIds) return packetProblems.tooManyOpenIds;
      this.#openIds.set(packetId, RECEIVING);
      slot = window.open(packetId, ackKind.pubrec, bytes.length);
    }
    handler.publish(this.#connection, packet, slot);
    if (window.isFull) this.#connection.pauseForWindow();
    return null;
  }

  pubrel(firstByte: number, bytes: Buffer, bodyOffset: number): PacketProblem | null {
    const problem = parseAck(firstByte, bytes, bodyOffset, this.#level, ack);
    if (problem) return problem;
    const { packetId } = ack;
    const state = this.#openIds?.get(packetId);
    const window = this.#windowed();
    if (state === undefined) {
      this.#completeAtOnce(window, packetId, ackKind.pubcomp, this.#level === 5 ? reasonCodes.packetIdentifierNotFound : 0, bytes.length);
      return null;
    }
    if (state === RECEIVING) return packetProblems.pubrelEarly;
    if (state === RELEASING) return null;
    this.#openIds!.set(packetId, RELEASING);
    const { handler } = this.#shared;
    if (handler.release === undefined) {
      this.#completeAtOnce(window, packetId, ackKind.pubcomp, 0, bytes.length);
    } else {
      handler.release(this.#connection, packetId, window.open(packetId, ackKind.pubcomp, bytes.length));
      if (window.isFull) this.#connection.pauseForWindow();
    }
    return null;
  }

  complete(slot: InboundSlot, reasonCode: number, reasonString: string | undefined): void {
    if (this.#window?.complete(slot, reasonCode, this.#tellsReasons ? reasonString : undefined)) this.#connection.requestFlush();
  }

  /** Acknowledgements that may leave now. `failed`: 3.x has no other way to say no than to close. */
  drain(): { readonly bytes: Buffer | null; readonly failed: boolean } | null {
    return this.#window?.hasReady ? this.#window.drain(this.#drainOptions) : null;
  }

  get mayRead(): boolean {
    return this.#window === null || this.#window.isHalfEmpty;
  }

  #windowed(): InboundWindow {
    const { settings } = this.#shared;
    return (this.#window ??= new InboundWindow({
      maxMessages: this.#level === 5 ? Number.POSITIVE_INFINITY : settings.inboundWindowMessages,
      maxBytes: settings.inboundWindowBytes,
    }));
  }

  #completeAtOnce(window: InboundWindow, packetId: number, kind: AckKind, reasonCode: number, sizeBytes: number): void {
    if (kind === ackKind.puback) this.#qos1Open++;
    if (window.complete(window.open(packetId, kind, sizeBytes), reasonCode)) this.#connection.requestFlush();
    if (window.isFull) this.#connection.pauseForWindow();
  }

  #onAck(kind: AckKind, packetId: number, reasonCode: number): void {
    if (kind === ackKind.puback) {
      this.#qos1Open--;
    } else if (kind === ackKind.pubcomp) {
      this.#openIds?.delete(packetId);
    } else if (this.#openIds?.get(packetId) === RECEIVING) {
      if (reasonCode >= 0x80) this.#openIds.delete(packetId);
      else this.#openIds.set(packetId, RECEIVED);
    }
  }

  /** [MQTT-3.3.2-7..10] */
  #resolveAlias(alias: number, topic: string): string | PacketProblem {
    if (alias === 0 || alias > this.#shared.settings.topicAliasMaximum) return packetProblems.topicAlias;
    if (topic !== "") {
      (this.#aliases ??= new Map()).set(alias, topic);
      return topic;
    }
    return this.#aliases?.get(alias) ?? packetProblems.topicAliasUnknown;
  }
}
