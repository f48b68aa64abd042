/**
 * Starting and stopping the export of traces: OTLP over HTTP with protobuf, in batches. The only
 * file that touches the SDK; it is loaded when there is an endpoint, because it costs some 70 MB and 0.3 s.
 * Services sample at their edges (sampling.ts), so the SDK records whatever is started.
 *
 * NodeSDK runs with traces only: metrics are prom-client's, and nothing is instrumented by itself.
 */
import { trace } from "@opentelemetry/api";
import { errorLine } from "@hawser/errors";
import { setSampleRatio } from "./sampling.ts";

export interface TelemetryOptions {
  /** `ingress`, `session` ...; traces show it as `hawser-<service>`. */
  readonly service: string;
  readonly member: string;
  /** Base URL of the receiver, `/v1/traces` is added; empty = off. */
  readonly otlpEndpoint: string;
  /** Share of messages traced where they enter, 0 to 1. */
  readonly sampleRatio: number;
  readonly version?: string;
  /** Told about failed exports, at most once per 10 s. */
  readonly onExportFailure?: (line: string) => void;
}

/** The queue holds at most 30 batches: a flush of more is refused by the exporter and loses them. */
const QUEUE_MAX_SPANS = 16_384;
const BATCH_MAX_SPANS = 2048;
const BATCH_DELAY_MS = 1000;
const EXPORT_TIMEOUT_MS = 10_000;
const FLUSH_TIMEOUT_MS = 2000;
const COMPLAIN_EVERY_MS = 10_000;

interface Running {
  readonly sdk: { shutdown(): Promise<void> };
  readonly processor: { forceFlush(): Promise<void> };
}

let running: Running | null = null;

/** Await it before the first span. Does nothing when the endpoint is empty or it runs already. */
export async function startTelemetry(options: TelemetryOptions): Promise<void> {
  if (options.otlpEndpoint === "" || running) return;
  const [{ NodeSDK }, { BatchSpanProcessor }, { OTLPTraceExporter }, { resourceFromAttributes }, { countingExporter, countingProcessor }] = await Promise.all([
    import("@opentelemetry/sdk-node"),
    import("@opentelemetry/sdk-trace"),
    import("@opentelemetry/exporter-trace-otlp-proto"),
    import("@opentelemetry/resources"),
    import("./span-counting.ts"),
  ]);
  let complainedAtMs = -COMPLAIN_EVERY_MS;
  const exporter = countingExporter(new OTLPTraceExporter({ url: `${options.otlpEndpoint.replace(/\/+$/, "")}/v1/traces` }), (error, spans) => {
    if (performance.now() - complainedAtMs < COMPLAIN_EVERY_MS) return;
    complainedAtMs = performance.now();
    options.onExportFailure?.(`${spans} spans were not exported to ${options.otlpEndpoint}: ${errorLine(error ?? "unknown")}`);
  });
  const processor = new BatchSpanProcessor({
    exporter,
    maxQueueSize: QUEUE_MAX_SPANS,
    maxExportBatchSize: BATCH_MAX_SPANS,
    scheduledDelayMillis: BATCH_DELAY_MS,
    exportTimeoutMillis: EXPORT_TIMEOUT_MS,
  });
  const sdk = new NodeSDK({
    autoDetectResources: false,
    resource: resourceFromAttributes({
      "service.name": `hawser-${options.service}`,
      "service.namespace": "hawser",
      "service.instance.id": options.member,
      ...(options.version === undefined ? {} : { "service.version": options.version }),
    }),
    spanProcessors: [countingProcessor(), processor],
    metricReaders: [],
    logRecordProcessors: [],
    instrumentations: [],
    textMapPropagator: null,
  });
  sdk.start();
  running = { sdk, processor };
  setSampleRatio(options.sampleRatio);
}

/** Exports what has ended so far; at most 2 s. For tests and the end of a command. Never rejects. */
export async function flushTelemetry(): Promise<void> {
  if (running) await bounded(running.processor.forceFlush());
}

/** Flushes, at most 2 s, and ends the export. Never rejects: the end of a process must not hang on a trace. */
export async function stopTelemetry(): Promise<void> {
  const stopping = running;
  running = null;
  setSampleRatio(0);
  if (!stopping) return;
  await bounded(stopping.sdk.shutdown());
  trace.disable();
}

function bounded(work: Promise<void>): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, FLUSH_TIMEOUT_MS);
    work.catch(() => undefined).then(
      () => {
        clearTimeout(timer);
        resolve();
      },
      () => resolve(),
    );
  });
}
