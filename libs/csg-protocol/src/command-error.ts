/**
 * Errors of commands: a gRPC canonical code, a reason of our own (as google.rpc.ErrorInfo has it),
 * and an HTTP number beside it. 504 alone would hide three different cases, so the reason is part
 * of the contract. These are values that travel, not exceptions.
 */
import { z } from "zod";

/** gRPC canonical code to HTTP status. FAILED_PRECONDITION deviates from Google's 400 on purpose. */
export const httpStatusOf = {
  OK: 200,
  CANCELLED: 499,
  UNKNOWN: 500,
  INVALID_ARGUMENT: 400,
  DEADLINE_EXCEEDED: 504,
  NOT_FOUND: 404,
  ALREADY_EXISTS: 409,
  PERMISSION_DENIED: 403,
  RESOURCE_EXHAUSTED: 429,
  FAILED_PRECONDITION: 409,
  ABORTED: 409,
  OUT_OF_RANGE: 400,
  UNIMPLEMENTED: 501,
  INTERNAL: 500,
  UNAVAILABLE: 503,
  DATA_LOSS: 500,
  UNAUTHENTICATED: 401,
} as const;
export type CommandCode = keyof typeof httpStatusOf;
export const commandCodes = Object.keys(httpStatusOf) as CommandCode[];

/** Reasons the platform and the SDK give; a gateway's methods may add their own. */
export const reasons = {
  PARAM_INVALID: "INVALID_ARGUMENT",
  PARAM_NOT_JSON: "INVALID_ARGUMENT",
  PARAM_TOO_LARGE: "INVALID_ARGUMENT",
  ID_INVALID: "INVALID_ARGUMENT",
  REQUEST_INVALID: "INVALID_ARGUMENT",
  GATEWAY_NOT_FOUND: "NOT_FOUND",
  COMMAND_NOT_FOUND: "NOT_FOUND",
  NEVER_SEEN: "NOT_FOUND",
  METHOD_UNKNOWN: "UNIMPLEMENTED",
  AGENT_OUTDATED: "UNIMPLEMENTED",
  GATEWAY_OFFLINE: "UNAVAILABLE",
  LINK_UNSTABLE: "UNAVAILABLE",
  OWNER_UNAVAILABLE: "UNAVAILABLE",
  ID_REUSED: "ALREADY_EXISTS",
  LANE_FULL: "RESOURCE_EXHAUSTED",
  QUEUE_FULL: "RESOURCE_EXHAUSTED",
  NOT_DELIVERED: "DEADLINE_EXCEEDED",
  NOT_ACCEPTED: "DEADLINE_EXCEEDED",
  EXEC_TIMEOUT: "DEADLINE_EXCEEDED",
  INTERRUPTED_BY_CRASH: "UNKNOWN",
  IN_DOUBT: "UNKNOWN",
  BELOW_MARK: "UNKNOWN",
  RESULT_TOO_LARGE: "INTERNAL",
  SEQ_GAP: "FAILED_PRECONDITION",
  VERSION_MISMATCH: "ABORTED",
  BY_OPERATOR: "CANCELLED",
  HANDLER_FAILED: "INTERNAL",
} as const satisfies Record<string, CommandCode>;
export type Reason = keyof typeof reasons;

const retryableReasons: ReadonlySet<string> = new Set<Reason>([
  "GATEWAY_OFFLINE",
  "LINK_UNSTABLE",
  "OWNER_UNAVAILABLE",
  "LANE_FULL",
  "QUEUE_FULL",
  "SEQ_GAP",
  "NOT_DELIVERED",
]);

export const commandErrorSchema = z.object({
  code: z.enum(commandCodes as [CommandCode, ...CommandCode[]]),
  reason: z.string().min(1).max(64),
  message: z.string().max(2_048),
  retryable: z.boolean().default(false),
  details: z.record(z.string(), z.unknown()).optional(),
});
export type CommandError = z.output<typeof commandErrorSchema>;

/** An error with one of our reasons: the code and `retryable` follow from it. */
export function commandError(reason: Reason, message: string, details?: Record<string, unknown>): CommandError {
  const error = { code: reasons[reason], reason, message, retryable: retryableReasons.has(reason) };
  return details ? { ...error, details } : error;
}

/** RFC 9457, as the body of a failure reply (`application/problem+json`) and of a REST error. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: CommandCode;
  readonly reason: string;
  readonly retryable: boolean;
  readonly instance?: string;
  readonly details?: Record<string, unknown>;
}

/** @param id the command, when there is one: it becomes `instance`. */
export function problemOf(error: CommandError, id?: string): Problem {
  return {
    type: `urn:hawser:csg:${error.reason}`,
    title: error.code,
    status: httpStatusOf[error.code],
    detail: error.message,
    code: error.code,
    reason: error.reason,
    retryable: error.retryable,
    ...(id === undefined ? {} : { instance: `urn:uuid:${id}` }),
    ...(error.details ? { details: error.details } : {}),
  };
}
