/**
 * Virtual actors on owned shards: mailbox, records, output gate, passivation. Knows nothing of what
 * an actor does.
 */
export * from "./actor-host.ts";
export * from "./actor-record.ts";
export * from "./behaviour.ts";
