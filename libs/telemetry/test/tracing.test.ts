import { encodeTraceparent } from "@hawser/wire";
import { afterEach, describe, expect, test } from "vitest";
import {
  attributes,
  counter,
  failSpan,
  flushTelemetry,
  metricNames,
  setSampleRatio,
  shouldSample,
  SpanKind,
  spanContextBytes,
  spanName,
  spanNames,
  startEdgeSpan,
  startRootSpan,
  startSpan,
  startTelemetry,
  stopTelemetry,
  traceFromEnvelope,
  traceIdOf,
  traceparentOf,
} from "../src/index.ts";
import { startOtlpSink } from "./otlp-sink.ts";

const sampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const unsampled = sampled.replace(/01$/, "00");

let close: (() => Promise<void>) | null = null;
afterEach(async () => {
  await stopTelemetry();
  await close?.();
  close = null;
});

async function withSink(options: { status?: number; sampleRatio?: number; onExportFailure?: (line: string) => void } = {}) {
  const sink = await startOtlpSink(options.status ?? 200);
  close = sink.close;
  const { onExportFailure } = options;
  await startTelemetry({ service: "ingress", member: "ingress-0_x", otlpEndpoint: `${sink.url}/`, sampleRatio: options.sampleRatio ?? 1, ...(onExportFailure && { onExportFailure }) });
  return sink;
}

describe("one trace across hops", () => {
  test("spans of three hops arrive as parent and child, with links and attributes", async () => {
    const sink = await withSink();
    const root = startRootSpan(spanName(spanNames.publish, { parent: "demo" }), SpanKind.PRODUCER, { [attributes.system]: "mqtt", [attributes.qos]: 1 });
    const onTheWire = Buffer.from(spanContextBytes(root)!);
    const second = startSpan(spanName(spanNames.processLog, { partition: 1 }), SpanKind.CONSUMER, onTheWire)!;
    const other = encodeTraceparent(sampled)!;
    const third = startSpan(spanName(spanNames.rocketmqSend, { rocketmqTopic: "demo" }), SpanKind.PRODUCER, spanContextBytes(second), {}, [other, null])!;
    expect(encodeTraceparent(traceparentOf(third)!)).toEqual(spanContextBytes(third));
    failSpan(third, "refused", "no");
    second.end();
    root.end();
    await stopTelemetry();

    const [a, b, c] = ["publish demo", "process w.1", "send demo"].map((name) => sink.spans.find((span) => span.name === name)!);
    expect(sink.spans).toHaveLength(3);
    expect(new Set(sink.spans.map((span) => span.traceId))).toEqual(new Set([traceIdOf(root)]));
    expect([a!.parentSpanId, b!.parentSpanId, c!.parentSpanId]).toEqual(["", a!.spanId, b!.spanId]);
    expect(c!.linkedSpanIds).toEqual(["b7ad6b7169203331"]);
    expect(a).toMatchObject({ service: "hawser-ingress", attributes: { "messaging.system.name": "mqtt", "hawser.mqtt.qos": "1" } });
    expect(c!.attributes).toMatchObject({ "error.type": "refused" });
    expect([a!.kind, b!.kind, c!.kind]).toEqual([4, 5, 4]);
  });

  test("a context that comes with the message decides at the edge; without one the ratio does", async () => {
    const sink = await withSink({ sampleRatio: 0 });
    const continued = startEdgeSpan("connect", SpanKind.SERVER, sampled)!;
    expect(traceIdOf(continued)).toBe("0af7651916cd43dd8448eb211c80319c");
    continued.end();
    expect(startEdgeSpan("connect", SpanKind.SERVER, null)).toBe(null);
    setSampleRatio(1);
    expect(startEdgeSpan("connect", SpanKind.SERVER, unsampled)).toBe(null);
    startEdgeSpan("own", SpanKind.SERVER, "not a traceparent")!.end();
    startEdgeSpan("own", SpanKind.SERVER, "")!.end();
    await flushTelemetry();
    expect(sink.spans.map((span) => [span.name, span.parentSpanId])).toEqual([
      ["connect", "b7ad6b7169203331"],
      ["own", ""],
      ["own", ""],
    ]);
  });
});

describe("without a sample", () => {
  test("null stays null through every function", () => {
    expect([startSpan("x", SpanKind.CLIENT, null), spanContextBytes(null), traceparentOf(null), traceFromEnvelope(null), traceIdOf(null)]).toEqual([null, null, null, null, ""]);
    failSpan(null, "x");
  });

  test("an unsampled message costs next to nothing", () => {
    const rounds = 1_000_000;
    let spans = 0;
    const startedAtMs = performance.now();
    for (let at = 0; at < rounds; at++) if (startSpan("process w.0", SpanKind.CONSUMER, null) !== null || shouldSample()) spans++;
    const nanoseconds = ((performance.now() - startedAtMs) * 1e6) / rounds;
    console.log(`unsampled message: ${nanoseconds.toFixed(1)} ns`);
    expect(spans).toBe(0);
    expect(nanoseconds).toBeLessThan(1000);
  });

  test.each([
    [0, 0, false],
    [0.25, 0.2499, true],
    [0.25, 0.25, false],
    [1, 0.999, true],
  ])("ratio %d and a draw of %d: %s", (ratio, draw, chosen) => {
    setSampleRatio(ratio);
    expect(shouldSample(() => draw)).toBe(chosen);
  });
});

describe("without an endpoint", () => {
  test("nothing is recorded, and a context that passes through is kept", async () => {
    await startTelemetry({ service: "router", member: "r", otlpEndpoint: "", sampleRatio: 1 });
    expect(shouldSample()).toBe(false);
    expect(spanContextBytes(startRootSpan("x", SpanKind.CLIENT))).toBe(null);
    const bytes = encodeTraceparent(sampled)!;
    expect(spanContextBytes(startSpan("x", SpanKind.CLIENT, bytes))).toEqual(bytes);
  });
});

describe("when the receiver is in trouble", () => {
  test("a stop takes two seconds at most", async () => {
    await withSink({ status: 0 });
    startRootSpan("x", SpanKind.CLIENT).end();
    const startedAtMs = performance.now();
    await stopTelemetry();
    expect(performance.now() - startedAtMs).toBeLessThan(2900);
  });

  test("spans it refuses are counted and told", async () => {
    const lines: string[] = [];
    const failed = counter(metricNames.spansStarted, { outcome: "failed" });
    const before = failed.value;
    await withSink({ status: 400, onExportFailure: (line) => lines.push(line) });
    startRootSpan("x", SpanKind.CLIENT).end();
    await flushTelemetry();
    expect(failed.value).toBe(before + 1);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain("1 spans were not exported");
  });
});

test("names of spans are filled from templates", () => {
  expect(spanName(spanNames.uplink, { service: "csg", shard: 7 })).toBe("process a.csg.7");
  expect(spanName("x {unknown}", {})).toBe("x {unknown}");
});
