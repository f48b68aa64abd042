/** The spans of one trace as a tree: service, span, milliseconds. */
export interface TreeSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly name: string;
  readonly service: string;
  readonly startMs: number;
  readonly endMs: number;
}

export function renderTrace(spans: readonly TreeSpan[]): string[] {
  const sorted = [...spans].sort((a, b) => a.startMs - b.startMs);
  const begin = sorted[0]?.startMs ?? 0;
  const known = new Set(sorted.map(({ spanId }) => spanId));
  const lines: string[] = [];
  const walk = (span: TreeSpan, depth: number): void => {
    const label = `${"  ".repeat(depth)}${span.service.replace(/^hawser-/, "")}  ${span.name}`;
    const [at, took] = [span.startMs - begin, span.endMs - span.startMs].map((ms) => ms.toFixed(1).padStart(8));
    lines.push(`${label.padEnd(72)} at ${at} ms  took ${took} ms`);
    for (const child of sorted) if (child.parentSpanId === span.spanId) walk(child, depth + 1);
  };
  for (const span of sorted) if (!known.has(span.parentSpanId)) walk(span, 0);
  return lines;
}
