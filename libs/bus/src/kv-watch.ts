/**
 * Reading and watching a bucket. A watch is an ephemeral consumer that begins with the last value
 * of every key; when it breaks (an outage, a server that forgot it, silence although the stream is
 * ahead), it is made again and everything is read anew: what is not newer than what was told is
 * not told again, and keys that have vanished meanwhile are told as deleted.
 */
import { AckPolicy, DeliverPolicy, type Consumer } from "@nats-io/jetstream";
import { nanos } from "@nats-io/transport-node";
import type { Bus } from "./bus.ts";
import { asBuffer } from "./request-mux.ts";

export interface KvChange {
  readonly key: string;
  /** Null: deleted. */
  readonly value: Buffer | null;
  readonly revision: number;
}

const INACTIVE_MS = 30_000;
const IDLE_HEARTBEAT_MS = 2_000;
const RETRY_MS = 200;
const READ_EXPIRES_MS = 5_000;

/** Key filter: everything under a prefix; a prefix that does not end in `.` is one key and what lies below it. */
function filterSubjects(bucket: string, prefix: string): string[] {
  const base = `$KV.${bucket}.`;
  if (prefix === "" || prefix.endsWith(".")) return [`${base}${prefix}>`];
  return [base + prefix, `${base}${prefix}.>`];
}

async function createConsumer(bus: Bus, bucket: string, prefix: string): Promise<{ consumer: Consumer; pending: number }> {
  const stream = `KV_${bucket}`;
  const info = await bus.jsm.consumers.add(stream, {
    ack_policy: AckPolicy.None,
    deliver_policy: DeliverPolicy.LastPerSubject,
    filter_subjects: filterSubjects(bucket, prefix),
    inactive_threshold: nanos(INACTIVE_MS),
    mem_storage: true,
    num_replicas: 1,
  });
  return { consumer: await bus.js.consumers.get(stream, info.name), pending: info.num_pending };
}

/** Everything under a prefix once. */
export async function readBucket(bus: Bus, bucket: string, prefix: string): Promise<{ changes: KvChange[] }> {
  const { consumer, pending } = await createConsumer(bus, bucket, prefix);
  const changes: KvChange[] = [];
  try {
    let left = pending;
    while (left > 0) {
      const messages = await consumer.fetch({ max_messages: Math.min(left, 1000), expires: READ_EXPIRES_MS });
      let got = 0;
      for await (const message of messages) {
        got++;
        changes.push(changeOf(bucket, message));
      }
      if (got === 0) throw new Error(`KV ${bucket}: reading stopped with ${left} keys left`);
      left -= got;
    }
  } finally {
    void consumer.delete().catch(() => undefined);
  }
  return { changes };
}

function changeOf(bucket: string, message: { subject: string; data: Uint8Array; seq: number; headers?: { get(name: string): string } | undefined }): KvChange {
  const operation = message.headers?.get("KV-Operation") ?? "";
  return {
    key: message.subject.slice(`$KV.${bucket}.`.length),
    value: operation === "DEL" || operation === "PURGE" ? null : asBuffer(message.data),
    revision: message.seq,
  };
}

export class KvWatch {
  readonly #bus: Bus;
  readonly #bucket: string;
  readonly #prefix: string;
  readonly #onChange: (change: KvChange) => void;
  readonly #known = new Map<string, number>();
  #stopped = false;
  #generation = 0;
  /** Highest revision of the bucket that has been told, 0 when it is empty. */
  revision = 0;
  #stopListening: () => void = () => undefined;
  #close: () => void = () => undefined;

  constructor(bus: Bus, bucket: string, prefix: string, onChange: (change: KvChange) => void) {
    this.#bus = bus;
    this.#bucket = bucket;
    this.#prefix = prefix;
    this.#onChange = onChange;
  }

  async start(): Promise<void> {
    await this.#begin();
    this.#stopListening = this.#bus.onStatus((connected) => {
      if (connected) this.#restart();
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#generation++;
    this.#stopListening();
    this.#close();
  }

  #restart(): void {
    const generation = ++this.#generation;
    this.#close();
    const again = (): void => {
      if (this.#stopped || generation !== this.#generation) return;
      this.#begin().catch(() => setTimeout(again, RETRY_MS).unref());
    };
    again();
  }

  /** Resolves when the values that exist have been told. */
  async #begin(): Promise<void> {
    const generation = this.#generation;
    const { consumer, pending } = await createConsumer(this.#bus, this.#bucket, this.#prefix);
    if (this.#stopped || generation !== this.#generation) return void consumer.delete().catch(() => undefined);
    const unseen = new Set(this.#known.keys());
    let left = pending;
    const messages = await consumer.consume({ max_messages: 500, idle_heartbeat: IDLE_HEARTBEAT_MS });
    this.#close = () => {
      void messages.close().catch(() => undefined);
      void consumer.delete().catch(() => undefined);
    };
    await new Promise<void>((resolve) => {
      const initialDone = (): void => {
        for (const key of unseen) {
          const revision = this.#known.get(key)!;
          this.#known.delete(key);
          this.#onChange({ key, value: null, revision });
        }
        resolve();
      };
      if (left === 0) initialDone();
      void this.#read(messages, generation, (change) => {
        unseen.delete(change.key);
        this.#tell(change);
        if (left > 0 && --left === 0) initialDone();
      });
      void this.#watchHeartbeats(messages, generation);
    });
  }

  async #read(messages: AsyncIterable<{ subject: string; data: Uint8Array; seq: number }>, generation: number, onChange: (change: KvChange) => void): Promise<void> {
    try {
      for await (const message of messages) {
        if (this.#stopped || generation !== this.#generation) return;
        onChange(changeOf(this.#bucket, message));
      }
    } catch {
      // ended by the server or the connection
    }
    if (!this.#stopped && generation === this.#generation) setTimeout(() => generation === this.#generation && this.#restart(), RETRY_MS).unref();
  }

  async #watchHeartbeats(messages: { status(): AsyncIterable<{ type: string }> }, generation: number): Promise<void> {
    for await (const status of messages.status()) {
      if (this.#stopped || generation !== this.#generation) return;
      if (status.type === "heartbeats_missed" || status.type === "consumer_not_found" || status.type === "consumer_deleted" || status.type === "stream_not_found") {
        if (this.#bus.connected) return this.#restart();
      }
    }
  }

  #tell(change: KvChange): void {
    if ((this.#known.get(change.key) ?? 0) >= change.revision) return;
    if (change.value === null) this.#known.delete(change.key);
    else this.#known.set(change.key, change.revision);
    this.revision = Math.max(this.revision, change.revision);
    this.#onChange(change);
  }
}
