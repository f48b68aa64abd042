/**
 * Spans for hot code. A message is sampled where it enters; from there its trace context travels
 * as 25 bytes with it, and no bytes mean "not sampled": every function here takes null for that
 * and gives null back, so that an unsampled message costs a comparison and nothing else.
 */
import { type Attributes, type Context, ROOT_CONTEXT, type Span, type SpanContext, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { encodeTraceparent } from "@hawser/wire";
import { shouldSample } from "./sampling.ts";

export { type Attributes, type Span, SpanKind } from "@opentelemetry/api";

const SAMPLED = 1;

/** The context of 25 wire bytes; null for null. */
export function traceFromEnvelope(bytes: Buffer | null): SpanContext | null {
  if (bytes === null) return null;
  return { traceId: bytes.toString("hex", 0, 16), spanId: bytes.toString("hex", 16, 24), traceFlags: bytes[24]!, isRemote: true };
}

function contextOf(parent: Buffer): Context {
  return trace.setSpanContext(ROOT_CONTEXT, traceFromEnvelope(parent)!);
}

function tracer(): ReturnType<typeof trace.getTracer> {
  return trace.getTracer("hawser");
}

/**
 * A child of the message's context.
 * @param parent 25 bytes of the wire, or null: not sampled, no span
 * @param links contexts of other messages that this work is about (a batch, a resend)
 */
export function startSpan(name: string, kind: SpanKind, parent: Buffer | null, attributes?: Attributes, links?: readonly (Buffer | null)[]): Span | null {
  if (parent === null) return null;
  return tracer().startSpan(name, { kind, ...(attributes && { attributes }), ...(links && { links: linksOf(links) }) }, contextOf(parent));
}

/** A new trace, for a message that shouldSample() chose. */
export function startRootSpan(name: string, kind: SpanKind, attributes?: Attributes, links?: readonly (Buffer | null)[]): Span {
  return tracer().startSpan(name, { kind, root: true, ...(attributes && { attributes }), ...(links && { links: linksOf(links) }) }, ROOT_CONTEXT);
}

/**
 * At an edge: goes on with the context that came with the message (W3C text), else samples.
 * A context that says "not sampled" is obeyed.
 */
export function startEdgeSpan(name: string, kind: SpanKind, traceparent: string | null, attributes?: Attributes): Span | null {
  if (traceparent !== null && traceparent !== "") {
    const bytes = encodeTraceparent(traceparent);
    if (bytes) return startSpan(name, kind, bytes, attributes);
    if (UNSAMPLED.test(traceparent)) return null;
  }
  return shouldSample() ? startRootSpan(name, kind, attributes) : null;
}

const UNSAMPLED = /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f][02468ace]$/;

function linksOf(contexts: readonly (Buffer | null)[]): { context: SpanContext }[] {
  return contexts.flatMap((bytes) => (bytes === null ? [] : [{ context: traceFromEnvelope(bytes)! }]));
}

/** What the next hop gets as its parent: 25 bytes, null when nothing is recorded. */
export function spanContextBytes(span: Span | null): Buffer | null {
  if (span === null) return null;
  const { traceId, spanId, traceFlags } = span.spanContext();
  if ((traceFlags & SAMPLED) === 0 || /^0*$/.test(traceId)) return null;
  const bytes = Buffer.allocUnsafe(25);
  bytes.write(traceId, 0, 16, "hex");
  bytes.write(spanId, 16, 8, "hex");
  bytes[24] = traceFlags;
  return bytes;
}

/** W3C text of a span, null when nothing is recorded. */
export function traceparentOf(span: Span | null): string | null {
  if (span === null) return null;
  const { traceId, spanId, traceFlags } = span.spanContext();
  if ((traceFlags & SAMPLED) === 0 || /^0*$/.test(traceId)) return null;
  return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, "0")}`;
}

/** 32 hex digits, empty when there is no trace. */
export function traceIdOf(span: Span | null): string {
  return traceparentOf(span)?.slice(3, 35) ?? "";
}

/** Marks a span as failed and ends it. @param type few values: an error code, an outcome */
export function failSpan(span: Span | null, type: string, message?: string): void {
  if (span === null) return;
  span.setAttribute("error.type", type);
  span.setStatus({ code: SpanStatusCode.ERROR, ...(message !== undefined && { message }) });
  span.end();
}
