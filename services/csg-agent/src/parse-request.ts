/**
 * A request as it comes (a RocketMQ message or a REST body) into what the machine takes, or into the
 * failure its caller gets. Pure. What is refused here is refused the same way every time it comes
 * again, so it needs no record.
 */
import { createHash } from "node:crypto";
import {
  canonicalJson,
  type CommandError,
  commandError,
  describeIssues,
  ECHO_PREFIX,
  isUuid,
  type Method,
  methodCatalogue,
  PARAMS_MAX_BYTES,
  type ReplyMode,
  replyModeOf,
  requestProperties as names,
} from "@hawser/csg-protocol";
import type { SubmitHead } from "@hawser/wire";
import type { CommandRequest } from "@hawser/command-engine";

export interface RequestDefaults {
  readonly replyTopic: string;
  readonly queueTtlMs: number;
  readonly execTimeoutMs: number;
  readonly taskTimeoutMs: number;
  readonly maxParamsBytes: number;
}

/** What a request says, whatever way it came. */
export interface RequestParts {
  readonly id: string;
  readonly method: string;
  readonly params: unknown;
  readonly reply: ReplyMode;
  readonly replyTopic: string;
  readonly echo: readonly (readonly [string, string])[];
  readonly principal: string;
  readonly bornAt: number;
  readonly queueTtlMs: number | undefined;
  readonly deadlineMs: number | undefined;
}

export type ParsedRequest =
  | { readonly ok: true; readonly request: CommandRequest }
  /** Enough of it to answer with. */
  | { readonly ok: false; readonly error: CommandError; readonly parts: Pick<RequestParts, "id" | "method" | "reply" | "replyTopic" | "echo"> };

const ROCKETMQ_TOPIC = /^[%|a-zA-Z0-9_-]{1,127}$/;

export function parseSubmit(head: SubmitHead, body: Buffer, defaults: RequestDefaults): ParsedRequest {
  const { properties } = head;
  const mode = replyModeOf(properties[names.responseRequired]);
  const parts = {
    id: properties[names.id] ?? "",
    method: properties[names.method] ?? "",
    reply: mode ?? "final",
    replyTopic: properties[names.replyTopic] || defaults.replyTopic,
    echo: Object.entries(properties).filter(([key]) => key.startsWith(ECHO_PREFIX)),
  } as const;
  const refuse = (error: CommandError): ParsedRequest => ({ ok: false, error, parts });
  if (!ROCKETMQ_TOPIC.test(parts.replyTopic)) {
    return { ok: false, error: commandError("REQUEST_INVALID", `${names.replyTopic} is no RocketMQ topic`), parts: { ...parts, replyTopic: defaults.replyTopic } };
  }
  if (mode === null) return refuse(commandError("REQUEST_INVALID", `${names.responseRequired} must be true, false or progress`));
  const queueTtlMs = milliseconds(properties[names.queueTtlMs]);
  const deadlineMs = milliseconds(properties[names.deadlineMs]);
  if (queueTtlMs === null || (queueTtlMs ?? 0) < 0) return refuse(commandError("REQUEST_INVALID", `${names.queueTtlMs} must be a number of milliseconds`));
  if (deadlineMs === null) return refuse(commandError("REQUEST_INVALID", `${names.deadlineMs} must be a number of milliseconds`));
  let params: unknown;
  try {
    params = body.length === 0 ? {} : JSON.parse(body.toString());
  } catch {
    return refuse(commandError("PARAM_NOT_JSON", "the body is not JSON"));
  }
  return checkRequest({ ...parts, params, queueTtlMs, deadlineMs, principal: properties[names.principal] ?? "", bornAt: head.bornAtMs }, defaults);
}

/** @returns undefined when absent, null when it is no whole number */
function milliseconds(text: string | undefined): number | undefined | null {
  if (text === undefined || text === "") return undefined;
  return /^-?\d{1,15}$/.test(text) ? Number(text) : null;
}

export function checkRequest(parts: RequestParts, defaults: RequestDefaults): ParsedRequest {
  const refuse = (error: CommandError): ParsedRequest => ({ ok: false, error, parts });
  if (!isUuid(parts.id)) return refuse(commandError("ID_INVALID", `${names.id} must be a UUID in lower case`));
  const method = methodCatalogue.get(parts.method);
  if (!method) return refuse(commandError("METHOD_UNKNOWN", `no method ${JSON.stringify(parts.method.slice(0, 128))}`, { supported: [...methodCatalogue.keys()] }));
  const json = JSON.stringify(parts.params) ?? "null";
  const limitBytes = Math.min(defaults.maxParamsBytes, PARAMS_MAX_BYTES);
  if (Buffer.byteLength(json) > limitBytes) return refuse(commandError("PARAM_TOO_LARGE", `params are larger than ${limitBytes} bytes`));
  const params = method.params.safeParse(parts.params);
  if (!params.success) return refuse(commandError("PARAM_INVALID", describeIssues(params.error)));
  return { ok: true, request: commandRequest(parts, method, params.data, defaults) };
}

function commandRequest(parts: RequestParts, method: Method, params: unknown, defaults: RequestDefaults): CommandRequest {
  const { id, reply, replyTopic, echo, principal, bornAt, queueTtlMs, deadlineMs } = parts;
  return {
    id,
    method: method.name,
    params,
    bodyHash: createHash("sha256").update(`${method.name}\n${canonicalJson(params)}`).digest("base64url").slice(0, 22),
    lane: method.lane,
    mutexKey: method.mutexKey?.(params) ?? null,
    reply,
    replyTopic,
    echo,
    principal,
    traceparent: "",
    bornAt,
    queueTtlMs: queueTtlMs ?? defaults.queueTtlMs,
    execMs: deadlineMs ?? (method.lane === "task" ? defaults.taskTimeoutMs : defaults.execTimeoutMs),
  };
}
