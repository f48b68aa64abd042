/**
 * One owner per shard in the whole cluster: heartbeats, claims by compare-and-set, epochs, and the
 * way for callers to reach the owner. README.md is the protocol.
 */
export * from "./decide-shard.ts";
export * from "./keeper-core.ts";
export * from "./layout.ts";
export * from "./liveness.ts";
export * from "./member-board.ts";
export * from "./place-shards.ts";
export * from "./shard-caller.ts";
export * from "./shard-directory.ts";
export * from "./shard-keeper.ts";
export type { ShardRecord } from "./shard-record.ts";
