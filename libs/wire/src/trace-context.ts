/**
 * W3C Trace Context between its text form (`traceparent`, 55 characters) and the 25 bytes an
 * envelope carries. Only sampled messages carry one: no bytes means "not sampled".
 */
export const TRACE_CONTEXT_BYTES = 25;

const TRACEPARENT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;

/** @returns null when the text is not a valid version-00 traceparent, or not sampled. */
export function encodeTraceparent(traceparent: string): Buffer | null {
  const match = TRACEPARENT.exec(traceparent);
  if (!match) return null;
  const flags = Number.parseInt(match[3]!, 16);
  if ((flags & 1) === 0 || /^0+$/.test(match[1]!) || /^0+$/.test(match[2]!)) return null;
  return Buffer.from(match[1]! + match[2]! + match[3]!, "hex");
}

export function decodeTraceparent(context: Buffer): string {
  const hex = context.toString("hex", 0, TRACE_CONTEXT_BYTES);
  return `00-${hex.slice(0, 32)}-${hex.slice(32, 48)}-${hex.slice(48, 50)}`;
}
