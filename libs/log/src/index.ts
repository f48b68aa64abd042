/**
 * The log: what is acknowledged to a device is in it first, and each kind of destination drains it
 * at its own pace. Group commit, numbered entries, cursors with epochs (docs/adr/0006, 0007).
 */
export * from "./cursor.ts";
export * from "./ensure-log.ts";
export * from "./log-consumer.ts";
export * from "./log-writer.ts";
export * from "./sequence-gate.ts";
export * from "./trim-log.ts";
