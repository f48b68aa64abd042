/**
 * The connection to NATS: publish, requests, JetStream appends, KV buckets. The only package that
 * knows the client library (docs/adr/0002).
 */
export { parsePubAck, type AppendResult } from "./append-result.ts";
export { BusError, type BusErrorKind } from "./bus-error.ts";
export { Bus, type AppendOptions, type BusOptions, type Subscription } from "./bus.ts";
export { KvBucket, type KvEntry, type KvOptions, type KvWrite, type WriteResult } from "./kv-bucket.ts";
export type { KvChange } from "./kv-read.ts";
export { KvWatch } from "./kv-watch.ts";
export type { StreamSettings } from "./ensure-stream.ts";
export type { BusMessage } from "./received-message.ts";
export type { RequestDone } from "./request-mux.ts";
export { StreamReader, type StreamReaderOptions } from "./stream-reader.ts";
