/**
 * Metrics of a process. Hot code adds to plain numbers; prom-client reads them when somebody asks
 * for /metrics. One registry per process; asking twice for the same counter gives the same object.
 */
import { collectDefaultMetrics, Counter as PromCounter, Gauge as PromGauge, Histogram as PromHistogram, Registry } from "prom-client";
import type { Metric } from "./metric-names.ts";

export const metricsRegistry = new Registry();

export type Labels<L extends string> = Readonly<Record<L, string>>;
type LabelArgument<L extends string> = [L] extends [never] ? [labels?: undefined] : [labels: Labels<L>];

export interface Counter {
  value: number;
  /** @param count 0 or more */
  add(count: number): void;
}

class PlainCounter implements Counter {
  value = 0;

  add(count: number): void {
    this.value += count;
  }
}

interface Family<S> {
  readonly series: Map<string, { readonly labels: Record<string, string>; readonly source: S }>;
}

const families = new Map<string, Family<unknown>>();

function family<S>(metric: Metric, create: (series: Family<S>["series"]) => void): Family<S>["series"] {
  let known = families.get(metric.name) as Family<S> | undefined;
  if (!known) {
    known = { series: new Map() };
    families.set(metric.name, known);
    create(known.series);
  }
  return known.series;
}

function seriesKey(metric: Metric, labels: Readonly<Record<string, string>> | undefined): string {
  return metric.labels.map((label) => labels?.[label] ?? "").join("\u0000");
}

/** Keep the result: looking it up costs a string, adding to it does not. */
export function counter<L extends string>(metric: Metric<L>, ...[labels]: LabelArgument<L>): Counter {
  const series = family<PlainCounter>(metric, (all) => {
    new PromCounter<string>({
      name: metric.name,
      help: metric.help,
      labelNames: [...metric.labels],
      registers: [metricsRegistry],
      collect() {
        this.reset();
        for (const each of all.values()) this.inc(each.labels, each.source.value);
      },
    });
  });
  const key = seriesKey(metric, labels);
  let entry = series.get(key);
  if (!entry) series.set(key, (entry = { labels: { ...labels }, source: new PlainCounter() }));
  return entry.source;
}

/**
 * A value read when somebody asks. A later gauge of the same labels replaces it.
 * @returns removes it
 */
export function gauge<L extends string>(metric: Metric<L>, labels: [L] extends [never] ? null : Labels<L>, read: () => number): () => void {
  const series = family<() => number>(metric, (all) => {
    new PromGauge<string>({
      name: metric.name,
      help: metric.help,
      labelNames: [...metric.labels],
      registers: [metricsRegistry],
      collect() {
        this.reset();
        for (const each of all.values()) this.set(each.labels, each.source());
      },
    });
  });
  const key = seriesKey(metric, labels ?? undefined);
  const entry = { labels: { ...(labels as Record<string, string> | null) }, source: read };
  series.set(key, entry);
  return () => {
    if (series.get(key) === entry) series.delete(key);
  };
}

export interface Histogram<L extends string> {
  /** Seconds, bytes or messages, as the metric's name says; 0.5 us. */
  observe(value: number, ...labels: LabelArgument<L>): void;
}

/** 0.5 ms to 30 s. */
export const secondsBuckets: readonly number[] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30];

export function histogram<L extends string>(metric: Metric<L>, buckets: readonly number[] = secondsBuckets): Histogram<L> {
  const existing = metricsRegistry.getSingleMetric(metric.name) as PromHistogram | undefined;
  const prom =
    existing ??
    new PromHistogram({ name: metric.name, help: metric.help, labelNames: [...metric.labels], buckets: [...buckets], registers: [metricsRegistry] });
  return {
    observe(value, ...[labels]) {
      if (labels) prom.observe(labels, value);
      else prom.observe(value);
    },
  };
}

let processMetrics = false;

/** CPU, memory, event loop and garbage collection of this process. */
export function enableProcessMetrics(): void {
  if (processMetrics) return;
  processMetrics = true;
  collectDefaultMetrics({ register: metricsRegistry });
}
