import { createHash } from "node:crypto";

/**
 * The RocketMQ message group of a client: its id where RocketMQ takes it (under 64 bytes, no
 * control characters), else `~` and the base64url of its SHA-256.
 */
export function messageGroupOf(clientId: string): string {
  const fits = Buffer.byteLength(clientId) < 64 && clientId.trim() !== "" && !/[\u0000-\u001f\u007f-\u009f]/.test(clientId);
  return fits ? clientId : `~${createHash("sha256").update(clientId).digest("base64url")}`;
}
