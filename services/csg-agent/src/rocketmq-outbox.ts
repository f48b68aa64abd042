/** Replies and events on their way to RocketMQ: through the log, in order per gateway. */
import type { ActorKey } from "@hawser/actors";
import type { LogWriter } from "@hawser/log";
import { attributes, SpanKind, spanName, spanNames, startSpan, traceparentOf } from "@hawser/telemetry";
import { type DestinationSet, encodeRocketMqMessage, encodeTraceparent, partitionOf, RecordKind, type RocketMqMessage } from "@hawser/wire";
import type { Reply } from "@hawser/command-engine";
import { type GatewayName, replyMessage } from "./reply-message.ts";

export interface OutboxOptions {
  readonly log: LogWriter;
  readonly partitions: number;
  readonly now: () => number;
}

export class RocketMqOutbox {
  readonly #options: OutboxOptions;
  readonly #destinations = new Map<string, DestinationSet>();

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  /** @param done whether the log has it. Unknown counts as no: a reply may come twice, never not at all */
  reply(key: Pick<ActorKey, "instance" | "clientId">, name: GatewayName, reply: Reply, done: (stored: boolean) => void): void {
    const parent = reply.traceparent === "" ? null : encodeTraceparent(reply.traceparent);
    const span = startSpan(spanName(spanNames.commandReply, { method: reply.method || "unknown" }), SpanKind.PRODUCER, parent, {
      [attributes.gatewayId]: name.gateway,
      [attributes.conversationId]: reply.id,
      [attributes.destination]: reply.topic,
      "csg.reply.kind": reply.kind,
      "csg.reply.code": reply.code,
    });
    this.append(key, replyMessage(reply, name, traceparentOf(span) ?? "", this.#options.now()), (stored) => {
      span?.end();
      done(stored);
    });
  }

  append(key: Pick<ActorKey, "instance" | "clientId">, message: RocketMqMessage, done: (stored: boolean) => void): void {
    const destinations = this.#destinationsOf(key.instance);
    const partition = partitionOf(key.instance, key.clientId, this.#options.partitions);
    this.#options.log.append(partition, { kind: RecordKind.message, destinations, body: encodeRocketMqMessage(message) }, (outcome) => done(outcome === "stored"));
  }

  #destinationsOf(instance: string): DestinationSet {
    let set = this.#destinations.get(instance);
    if (!set) this.#destinations.set(instance, (set = Object.freeze({ instance, rules: [], inbox: false, actor: null })));
    return set;
  }
}
