/**
 * Commands and replies as RocketMQ messages: the body is `params` or the result alone, everything
 * else is a user property in snake_case (none is reserved, all can be filtered by SQL92). Names
 * after Eclipse Hono. Request: keys = [id, gateway], tag = family of the method, message group =
 * gateway. Reply: the same `correlation_id` and `device_id`, and every `dnm_*` property of the
 * request (opaque to us) comes back. At least once: a duplicate has the same `correlation_id`,
 * `kind` and `n`.
 */
import { createHash } from "node:crypto";
import { MESSAGE_GROUP_LIMIT_BYTES } from "./limits.ts";
import type { ReplyMode } from "./messages.ts";

export const requestProperties = {
  gateway: "device_id",
  group: "group_id",
  method: "subject",
  id: "correlation_id",
  responseRequired: "response_required",
  contentType: "content_type",
  replyTopic: "reply_topic",
  deadlineMs: "deadline_ms",
  queueTtlMs: "queue_ttl_ms",
  tenant: "tenant",
  principal: "principal",
  traceparent: "traceparent",
} as const;

export const replyProperties = {
  gateway: "device_id",
  group: "group_id",
  method: "subject",
  id: "correlation_id",
  status: "status",
  code: "code",
  reason: "reason",
  origin: "origin",
  kind: "kind",
  sequence: "n",
  late: "late",
  contentType: "content_type",
  creationTime: "creation_time",
  traceparent: "traceparent",
} as const;

/** Request properties with this prefix come back in every reply. */
export const ECHO_PREFIX = "dnm_";

/** accepted, progress, final; rejected: another body under an id in use, which is not that command's final. */
export type ReplyKind = "accepted" | "progress" | "final" | "rejected";
/** Who speaks: the gateway, or we in its place. */
export type ReplyOrigin = "device" | "platform";

export const responseRequiredOf: Readonly<Record<ReplyMode, string>> = { none: "false", final: "true", progress: "progress" };

/** @returns null when the value is none of `true`, `false`, `progress`. Absent means `true`. */
export function replyModeOf(responseRequired: string | undefined): ReplyMode | null {
  switch (responseRequired) {
    case undefined:
    case "true":
      return "final";
    case "false":
      return "none";
    case "progress":
      return "progress";
    default:
      return null;
  }
}

/** The message group of a gateway: its id, hashed when RocketMQ would refuse the length. */
export function messageGroupOf(gateway: string): string {
  return Buffer.byteLength(gateway) < MESSAGE_GROUP_LIMIT_BYTES
    ? gateway
    : createHash("sha256").update(gateway).digest("base64url").slice(0, 32);
}

/** The family of a method: what stands before its first dot. */
export function tagOf(method: string): string {
  const family = method.split(".", 1)[0]!;
  return /^[0-9A-Za-z_-]{1,64}$/.test(family) ? family : "csg";
}
