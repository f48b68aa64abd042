/**
 * Counts what becomes of spans, because a full queue of the batch processor drops without a word:
 * lost = ended - exported - failed, once the queue is empty.
 */
import type { SpanExporter, SpanProcessor } from "@opentelemetry/sdk-trace";
import { metricNames } from "./metric-names.ts";
import { counter } from "./metrics.ts";

/** A processor that counts ended spans in front of the one that exports them. */
export function countingProcessor(): SpanProcessor {
  const ended = counter(metricNames.spansStarted, { outcome: "ended" });
  return {
    onStart() {},
    onEnd() {
      ended.add(1);
    },
    forceFlush: () => Promise.resolve(),
    shutdown: () => Promise.resolve(),
  };
}

/** @param onFailure called with the error of a failed export */
export function countingExporter(inner: SpanExporter, onFailure: (error: Error | undefined, spans: number) => void): SpanExporter {
  const exported = counter(metricNames.spansStarted, { outcome: "exported" });
  const failed = counter(metricNames.spansStarted, { outcome: "failed" });
  return {
    export(spans, done) {
      inner.export(spans, (result) => {
        (result.code === 0 ? exported : failed).add(spans.length);
        if (result.code !== 0) onFailure(result.error, spans.length);
        done(result);
      });
    },
    shutdown: () => inner.shutdown(),
    forceFlush: () => inner.forceFlush?.() ?? Promise.resolve(),
  };
}
