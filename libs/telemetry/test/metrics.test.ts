import { describe, expect, test } from "vitest";
import { counter, enableProcessMetrics, gauge, histogram, type Metric, metricNames, metricsRegistry } from "../src/index.ts";

async function lines(metric: Metric): Promise<string[]> {
  return (await metricsRegistry.metrics()).split("\n").filter((line) => line.startsWith(metric.name));
}

describe("metrics", () => {
  test.each(Object.values(metricNames).map((metric) => [metric.name, metric] as const))("%s is named by Prometheus custom", (name, metric) => {
    expect(name).toMatch(/^hawser_[a-z0-9_]+$/);
    expect(metric.help).not.toBe("");
    expect(metric.labels.every((label) => /^[a-z]+$/.test(label))).toBe(true);
  });

  test("no name is given twice", () => {
    const names = Object.values(metricNames).map((metric) => metric.name);
    expect(new Set(names).size).toBe(names.length);
  });

  test("a counter adds up per label and is the same object when asked for again", async () => {
    counter(metricNames.publishesRefused, { reason: "unknown-parent" }).add(2);
    counter(metricNames.publishesRefused, { reason: "too-long" }).add(1);
    counter(metricNames.publishesRefused, { reason: "unknown-parent" }).add(1);
    expect(await lines(metricNames.publishesRefused)).toEqual([
      'hawser_mqtt_publishes_refused_total{reason="unknown-parent"} 3',
      'hawser_mqtt_publishes_refused_total{reason="too-long"} 1',
    ]);
  });

  test("a gauge is read when asked, and goes when it is removed", async () => {
    let value = 1;
    const remove = gauge(metricNames.shardsOwned, { service: "session" }, () => value);
    expect(await lines(metricNames.shardsOwned)).toEqual(['hawser_shards_owned{service="session"} 1']);
    value = 5;
    expect(await lines(metricNames.shardsOwned)).toEqual(['hawser_shards_owned{service="session"} 5']);
    const removeLater = gauge(metricNames.shardsOwned, { service: "session" }, () => 9);
    remove();
    expect(await lines(metricNames.shardsOwned)).toEqual(['hawser_shards_owned{service="session"} 9']);
    removeLater();
    expect(await lines(metricNames.shardsOwned)).toEqual([]);
  });

  test("a gauge without labels", async () => {
    const remove = gauge(metricNames.busConnected, null, () => 1);
    expect(await lines(metricNames.busConnected)).toEqual(["hawser_nats_connected 1"]);
    remove();
  });

  test("a histogram counts into its buckets", async () => {
    histogram(metricNames.rocketmqBatchMessages, [1, 128]).observe(100);
    histogram(metricNames.rocketmqBatchMessages).observe(200);
    histogram(metricNames.logCommitSeconds).observe(0.003, { partition: "1" });
    expect(await lines(metricNames.rocketmqBatchMessages)).toEqual([
      'hawser_rocketmq_batch_messages_bucket{le="1"} 0',
      'hawser_rocketmq_batch_messages_bucket{le="128"} 1',
      'hawser_rocketmq_batch_messages_bucket{le="+Inf"} 2',
      "hawser_rocketmq_batch_messages_sum 300",
      "hawser_rocketmq_batch_messages_count 2",
    ]);
    expect(await lines(metricNames.logCommitSeconds)).toContain('hawser_log_commit_seconds_bucket{le="0.005",partition="1"} 1');
  });

  test("a process shows its memory and event loop", async () => {
    enableProcessMetrics();
    enableProcessMetrics();
    expect(await metricsRegistry.metrics()).toMatch(/process_resident_memory_bytes \d/);
  });
});
