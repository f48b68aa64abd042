/**
 * The log to actors: publishes that could not go to their actor directly because its shard had no
 * owner, and presence events. In order per client, each repeated until its owner has accepted it;
 * an owner that refuses one for good has decided about it.
 */
import { errorLine } from "@hawser/errors";
import type { ShardCaller } from "@hawser/shards";
import type { Logger } from "@hawser/telemetry";
import {
  ActorVerb,
  ByteWriter,
  decodeAnswer,
  decodeEnvelope,
  decodePresenceEvent,
  encodeFrame,
  encodeUplink,
  type LogEntry,
  type LogRecord,
  RecordKind,
  shardOf,
} from "@hawser/wire";
import type { Drain, DrainContext } from "./drain.ts";
import { EntryWork } from "./entry-work.ts";

export interface ActorDrainOptions extends DrainContext {
  readonly shards: number;
  readonly callerOf: (service: string) => ShardCaller | undefined;
  readonly log: Logger;
}

interface ActorCall {
  readonly service: string;
  readonly shard: number;
  readonly frame: Buffer;
  readonly work: EntryWork;
}

const RETRY_MS = 250;
const CALL_OPTIONS = { timeoutMs: 5000, patienceMs: 30_000 } as const;

export class ActorDrain implements Drain {
  readonly #options: ActorDrainOptions;
  /** Per client what waits for its turn; the first is on its way. */
  readonly #queues = new Map<string, ActorCall[]>();
  #stopped = false;
  open = 0;

  constructor(options: ActorDrainOptions) {
    this.#options = options;
  }

  take(entry: LogEntry, sequence: number): void {
    this.open++;
    const work = new EntryWork(sequence, (finished) => {
      this.open--;
      this.#options.finished(finished);
    });
    for (const record of entry.records) {
      if (record.destinations.actor === null || record.kind === RecordKind.message) continue;
      try {
        this.#queue(record, record.destinations.actor, work);
      } catch (error) {
        this.#options.log.error({ instance: record.destinations.instance, problem: errorLine(error) }, "record of the log cannot be read");
      }
    }
    work.end();
  }

  #queue(record: LogRecord, service: string, work: EntryWork): void {
    const { instance } = record.destinations;
    const presence = record.kind === RecordKind.presence;
    const clientId = presence ? decodePresenceEvent(record.body).clientId : decodeEnvelope(record.body).sender;
    const frame = presence
      ? encodeFrame(ActorVerb.presence, null, new ByteWriter(64 + record.body.length).shortText(instance).bytes(record.body).finish())
      : encodeFrame(ActorVerb.uplink, null, encodeUplink({ instance, envelope: record.body }));
    const call = { service, shard: shardOf(instance, clientId, this.#options.shards), frame, work };
    const key = `${service}/${instance}/${clientId}`;
    work.begin();
    const queue = this.#queues.get(key);
    if (queue) queue.push(call);
    else {
      const started = [call];
      this.#queues.set(key, started);
      this.#call(key, started);
    }
  }

  #call(key: string, queue: ActorCall[]): void {
    if (this.#stopped) return;
    const { service, shard, frame, work } = queue[0]!;
    const caller = this.#options.callerOf(service);
    if (!caller || !this.#options.mayAct()) return this.#later(key, queue);
    caller.call(shard, frame, CALL_OPTIONS, (error, bytes) => {
      if (this.#stopped) return;
      if (error) return this.#later(key, queue);
      const answer = decodeAnswer(bytes);
      if (!answer.ok && answer.code === "busy") return this.#later(key, queue);
      if (!answer.ok) this.#options.log.warn({ service, shard, code: answer.code, reason: answer.reason }, "an actor refused a message of the log");
      queue.shift();
      if (queue.length > 0) this.#call(key, queue);
      else this.#queues.delete(key);
      work.end();
    });
  }

  #later(key: string, queue: ActorCall[]): void {
    setTimeout(() => this.#call(key, queue), RETRY_MS);
  }

  stop(): void {
    this.#stopped = true;
  }
}
