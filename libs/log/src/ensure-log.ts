import type { Bus } from "@hawser/bus";
import { buckets, streams, subjects } from "@hawser/wire";
import { MESSAGE_ID_WINDOW_MS } from "./message-id.ts";

export interface LogConfig {
  readonly partitions: number;
  /** Size of one partition; a full one refuses, nothing acknowledged is deleted. */
  readonly maxBytes: number;
  readonly replicas?: number;
}

/** One stream per partition: their fsyncs run beside each other. @throws HawserError HAWSER_E_STREAM_MISMATCH */
export async function ensureLog(bus: Bus, config: LogConfig): Promise<void> {
  await bus.ensureKv(buckets.cursors, { replicas: config.replicas ?? 1 });
  for (let partition = 0; partition < config.partitions; partition++) {
    await bus.ensureStream({
      name: streams.log(partition),
      subjects: [subjects.log(partition)],
      retention: "limits",
      storage: "file",
      discard: "new",
      max_bytes: config.maxBytes,
      max_age: 0,
      duplicate_window: MESSAGE_ID_WINDOW_MS * 1_000_000,
      num_replicas: config.replicas ?? 1,
      allow_direct: false,
    });
  }
}
