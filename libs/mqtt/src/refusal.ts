/** CONNACK refusals and DISCONNECT reasons from the table of coded errors. */
import { errorEntry, type ErrorCode } from "@hawser/errors";
import { reasonCodes, returnCodeFor } from "./reason-codes.ts";
import type { CloseReason, ConnectRefusal } from "./types.ts";

/** @param detail told to an MQTT 5 client as Reason String; the code's own message is for counters and logs */
export function refusalOf(code: ErrorCode, detail?: string): ConnectRefusal {
  const entry = errorEntry(code);
  const reasonCode = entry.mqtt5 ?? reasonCodes.unspecifiedError;
  return { reasonCode, returnCode: entry.mqtt3 ?? returnCodeFor(reasonCode), reason: entry.message, ...(detail !== undefined && { reasonString: detail }) };
}

export function closeReasonOf(code: ErrorCode, detail?: string): CloseReason {
  const entry = errorEntry(code);
  return { reasonCode: entry.mqtt5 ?? reasonCodes.unspecifiedError, reason: entry.message, ...(detail !== undefined && { reasonString: detail }) };
}
