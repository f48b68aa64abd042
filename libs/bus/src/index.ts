/**
 * The connection to NATS: publish, requests, JetStream appends, KV buckets. The only package that
 * knows the client library (docs/adr/0002).
 */
export * from "./append-result.ts";
export * from "./bus.ts";
export * from "./bus-error.ts";
export { KvBucket, type KvEntry, type KvOptions, type KvWrite, type WriteResult } from "./kv-bucket.ts";
export { KvWatch, type KvChange } from "./kv-watch.ts";
export type { RequestDone } from "./request-mux.ts";
