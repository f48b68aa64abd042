/**
 * Command ids: UUIDv7 (RFC 9562, 5.7) made once by the caller; any UUID is accepted. A key that is
 * no UUID becomes a UUIDv5 (RFC 9562, 5.5) in a namespace of our own.
 */
import { createHash, randomBytes } from "node:crypto";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
/** Namespace of Idempotency-Key values, made once at random: never change it, the ids of repeated requests depend on it. */
const IDEMPOTENCY_NAMESPACE = "4a0f6c1e-9d57-4b0a-8c83-7be25f1d9e64";

/** Lower case only: an id is compared as text everywhere. */
export function isUuid(text: string): boolean {
  return UUID.test(text);
}

export function newUuidV7(nowMs: number = Date.now(), random: Buffer = randomBytes(10)): string {
  const bytes = Buffer.alloc(16);
  bytes.writeUIntBE(nowMs, 0, 6);
  random.copy(bytes, 6, 0, 10);
  return withVersion(bytes, 7);
}

export function uuidV5(name: string, namespace: string = IDEMPOTENCY_NAMESPACE): string {
  const hash = createHash("sha1").update(uuidBytes(namespace)).update(name).digest();
  return withVersion(hash.subarray(0, 16), 5);
}

/** The 16 bytes of a UUID, as MQTT 5 Correlation Data. */
export function uuidBytes(id: string): Buffer {
  return Buffer.from(id.replaceAll("-", ""), "hex");
}

function withVersion(source: Buffer, version: number): string {
  const bytes = Buffer.from(source);
  bytes[6] = (bytes[6]! & 0x0f) | (version << 4);
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = bytes.toString("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
