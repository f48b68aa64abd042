/** Commits of this ingress to the log, counted and timed; an outage is one log line, not one per try. */
import { counter, histogram, metricNames, type Logger } from "@hawser/telemetry";

const OUTAGE_LOG_MS = 5_000;

export interface LogMetrics {
  readonly onCommit: (partition: number, records: number, sizeBytes: number, durationMs: number) => void;
  readonly onFailure: (partition: number, reason: string) => void;
}

export function logMetrics(logger: Logger, partitions: number): LogMetrics {
  const seconds = histogram(metricNames.logCommitSeconds);
  const perPartition = Array.from({ length: partitions }, (_, index) => {
    const partition = String(index);
    return {
      labels: { partition },
      stored: counter(metricNames.logCommits, { partition, outcome: "stored" }),
      failed: counter(metricNames.logCommits, { partition, outcome: "failed" }),
      records: counter(metricNames.logRecords, { partition }),
      bytes: counter(metricNames.logBytes, { partition }),
    };
  });
  let loggedAtMs = Number.NEGATIVE_INFINITY;
  return {
    onCommit: (partition, records, sizeBytes, durationMs) => {
      const counters = perPartition[partition]!;
      counters.stored.add(1);
      counters.records.add(records);
      counters.bytes.add(sizeBytes);
      seconds.observe(durationMs / 1000, counters.labels);
    },
    onFailure: (partition, reason) => {
      perPartition[partition]!.failed.add(1);
      if (performance.now() - loggedAtMs < OUTAGE_LOG_MS) return;
      loggedAtMs = performance.now();
      logger.warn({ partition, reason }, "the log does not take appends: they are retried");
    },
  };
}
