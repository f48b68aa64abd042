import { ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import * as sdk from "@opentelemetry/sdk-trace";
import { expect, it } from "vitest";
import { startOtlpSink } from "../src/index.ts";

it("reads the spans that OpenTelemetry's own exporter sends", async () => {
  const sink = await startOtlpSink();
  const processor = new sdk.SimpleSpanProcessor({ exporter: new OTLPTraceExporter({ url: `${sink.url}/v1/traces` }) });
  const provider = new sdk.TracerProvider({ resource: resourceFromAttributes({ "service.name": "hawser-test", "service.instance.id": "test-0" }), spanProcessors: [processor] });
  const tracer = provider.getTracer("test");

  const other = { traceId: "ab".repeat(16), spanId: "cd".repeat(8), traceFlags: 1 };
  const startMs = Date.UTC(2026, 0, 2, 3, 4, 5) + 0.25;
  const parent = tracer.startSpan("receive", { kind: SpanKind.CONSUMER, startTime: startMs, links: [{ context: other }] }, ROOT_CONTEXT);
  const child = tracer.startSpan("deliver", { kind: SpanKind.PRODUCER, startTime: startMs + 1, attributes: { text: "č", whole: -5, part: 0.5, yes: true, list: ["a", "b"] } }, trace.setSpan(ROOT_CONTEXT, parent));
  child.setStatus({ code: SpanStatusCode.ERROR });
  child.end(startMs + 2);
  parent.end(startMs + 3);
  await provider.forceFlush();

  const { traceId, spanId } = parent.spanContext();
  await sink.until((spans) => spans.length === 2);
  expect(sink.trace(traceId)).toMatchObject([
    { name: "receive", parentSpanId: "", kind: "consumer", status: "unset", links: [{ traceId: other.traceId, spanId: other.spanId }], startMs, endMs: startMs + 3 },
    {
      name: "deliver",
      service: "hawser-test",
      spanId: child.spanContext().spanId,
      parentSpanId: spanId,
      kind: "producer",
      status: "error",
      attributes: { text: "č", whole: -5, part: 0.5, yes: true, list: ["a", "b"] },
      resource: { "service.instance.id": "test-0" },
    },
  ]);
  await provider.shutdown();
  await sink.stop();
});

it("refuses what is not OTLP", async () => {
  const sink = await startOtlpSink();
  expect((await fetch(`${sink.url}/v1/traces`, { method: "POST", body: "hello there" })).status).toBe(400);
  expect((await fetch(`${sink.url}/v1/logs`, { method: "POST" })).status).toBe(404);
  expect(sink.spans).toEqual([]);
  await expect(sink.until((spans) => spans.length > 0, 50)).rejects.toThrow("not received within 50 ms; received: nothing");
  await sink.stop();
});
