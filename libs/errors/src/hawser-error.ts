import { errorTable, type ErrorCode, type ErrorEntry } from "./error-table.ts";

/**
 * An error with a code of the table. The message is one line that says what and, where it helps,
 * what to do; the command line prints it as it is.
 */
export class HawserError extends Error {
  override readonly name = "HawserError";
  readonly code: ErrorCode;
  readonly retryable: boolean;

  /** @param detail what exactly: replaces the general message of the table */
  constructor(code: ErrorCode, detail?: string, options?: { readonly cause?: unknown }) {
    super((detail ?? errorTable[code].message).replaceAll(/\s*\n\s*/g, " "), options);
    this.code = code;
    this.retryable = errorTable[code].retryable;
  }

  /** MQTT 5 reason code, when a client is told about this error. */
  get mqtt5(): number | undefined {
    return errorEntry(this.code).mqtt5;
  }

  /** CONNACK return code of 3.1.1, or 0x80 of its SUBACK. */
  get mqtt3(): number | undefined {
    return errorEntry(this.code).mqtt3;
  }
}

export function errorEntry(code: ErrorCode): ErrorEntry {
  return errorTable[code];
}

export function isHawserError(error: unknown, code?: ErrorCode): error is HawserError {
  return error instanceof HawserError && (code === undefined || error.code === code);
}

/**
 * What a person reads of any thrown value, in one line. Errors that are not ours keep their system
 * code (`ECONNREFUSED`), because that is what one searches for.
 */
export function errorLine(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return errorLine(error.errors[0]);
  if (!(error instanceof Error)) return String(error).replaceAll(/\s*\n\s*/g, " ");
  const systemCode = (error as NodeJS.ErrnoException).code;
  const text = error.message.replaceAll(/\s*\n\s*/g, " ") || error.name;
  return isHawserError(error) || typeof systemCode !== "string" || text.includes(systemCode) ? text : `${text} (${systemCode})`;
}

/** The coded form of what `listen` rejects with. */
export function listenError(error: unknown, what: string, address: string): HawserError {
  const code = (error as NodeJS.ErrnoException | null)?.code;
  return code === "EADDRINUSE"
    ? new HawserError("HAWSER_E_PORT_TAKEN", `${what}: ${address} is taken by another program`, { cause: error })
    : new HawserError("HAWSER_E_LISTEN", `${what}: cannot listen on ${address}: ${errorLine(error)}`, { cause: error });
}
