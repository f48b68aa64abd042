/** Reading a bucket with an ephemeral consumer that begins with the last value of every key. */
import { AckPolicy, DeliverPolicy, type Consumer } from "@nats-io/jetstream";
import { nanos } from "@nats-io/transport-node";
import type { Bus } from "./bus.ts";
import { asBuffer } from "./received-message.ts";

export interface KvChange {
  readonly key: string;
  /** Null: deleted. */
  readonly value: Buffer | null;
  readonly revision: number;
}

interface StoredMessage {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly seq: number;
  readonly headers?: { get(name: string): string } | undefined;
}

const INACTIVE_MS = 30_000;
const READ_EXPIRES_MS = 2_000;
const READ_MESSAGES = 1_000;

/** Key filter: everything under a prefix; a prefix that does not end in `.` is one key and what lies below it. */
function filterSubjects(bucket: string, prefix: string): string[] {
  const base = `$KV.${bucket}.`;
  if (prefix === "" || prefix.endsWith(".")) return [`${base}${prefix}>`];
  return [base + prefix, `${base}${prefix}.>`];
}

export async function createReader(bus: Bus, bucket: string, prefix: string): Promise<{ consumer: Consumer; pending: number }> {
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

/** The last value of every key under a prefix, deletions included. @throws when NATS is away or reading stops halfway */
export async function readBucket(bus: Bus, bucket: string, prefix: string): Promise<KvChange[]> {
  const { consumer, pending } = await createReader(bus, bucket, prefix);
  const changes: KvChange[] = [];
  try {
    let left = pending;
    while (left > 0) {
      const messages = await consumer.fetch({ max_messages: Math.min(left, READ_MESSAGES), expires: READ_EXPIRES_MS });
      const before = changes.length;
      for await (const message of messages) {
        changes.push(changeOf(bucket, message));
        left = message.info.pending;
        if (left === 0) break;
      }
      // keys may have been purged meanwhile: then nothing more comes
      if (changes.length === before && (left = (await consumer.info()).num_pending) > 0) throw new Error(`KV ${bucket}: reading stopped with ${left} keys left`);
    }
  } finally {
    void consumer.delete().catch(() => undefined);
  }
  return changes;
}

export function changeOf(bucket: string, message: StoredMessage): KvChange {
  const operation = message.headers?.get("KV-Operation") ?? "";
  return {
    key: message.subject.slice(`$KV.${bucket}.`.length),
    value: operation === "DEL" || operation === "PURGE" ? null : asBuffer(message.data),
    revision: message.seq,
  };
}
