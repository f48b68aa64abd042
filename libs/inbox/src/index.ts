/**
 * The inbox of a session shard: which persistent sessions want a message, at which position it
 * stands in the queue of each, what is on its way, what was acknowledged, and the packed record
 * that lets the next owner go on. Pure: reads no stream, sends nothing, knows no clock.
 */
export { type Checkpoint, CHECKPOINT_RESERVE, decodeCheckpoint } from "./checkpoint.ts";
export { FilterTree } from "./filter-tree.ts";
export { type InboxReceiver, type Pending, type ReceiptRequest, SessionQueue, type SessionIdentity, type StoredMessage } from "./session-queue.ts";
export { type InboxLimits, type InboxStats, type OutgoingDelivery, ShardInbox } from "./shard-inbox.ts";
export type { SubscriptionIndex } from "./subscription-index.ts";
