/**
 * What services say to each other and what they store, byte by byte: subjects, envelope, log and
 * inbox entries, requests. Owns no connection and does no I/O. docs/adr/0004, 0005.
 */
export * from "./actor-verbs.ts";
export * from "./bytes.ts";
export * from "./envelope.ts";
export * from "./frame.ts";
export * from "./inbox-entry.ts";
export * from "./inbox-stream.ts";
export * from "./ingress-verbs.ts";
export * from "./log-entry.ts";
export * from "./presence-event.ts";
export * from "./rocketmq-message.ts";
export * from "./session-verbs.ts";
export * from "./shard-hash.ts";
export * from "./subjects.ts";
export * from "./topic-subject.ts";
export * from "./trace-context.ts";
export * from "./version.ts";
