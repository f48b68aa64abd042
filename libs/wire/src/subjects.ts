/**
 * Every NATS name of Hawser: subjects, streams, KV buckets and their keys. Nowhere else is a
 * subject spelled.
 *
 *   m.<instance>.<levels>          live messages of ordinary topics (topic-subject.ts)
 *   s.<shard>.<epoch>              requests to the owner of a session shard (session-verbs.ts)
 *   a.<service>.<shard>.<epoch>    requests to the owner of an actor shard (actor-verbs.ts)
 *   i.<member>                     orders to one ingress: deliver, close, list (ingress-verbs.ts)
 *   r.<member>                     answers that come later: receipts, acks
 *   w.<partition>                  the log, stream HAWSER_WAL_<partition>
 *   q.<shard>                      the inbox, stream HAWSER_INBOX
 *   dlq.<kind>                     messages set aside: RocketMQ refused them for ever, stream HAWSER_DLQ
 *   hb                             heartbeats of all members
 *   ping.<member>                  is there anybody (empty request and reply)
 *   csg.ev.<gateway>.<command>     command events for who watches one (core publish)
 */
import { createHash } from "node:crypto";

export const subjects = {
  sessionOwner: (shard: number, epoch: number): string => `s.${shard}.${epoch}`,
  actorOwner: (service: string, shard: number, epoch: number): string => `a.${service}.${shard}.${epoch}`,
  ingress: (member: string): string => `i.${member}`,
  receipts: (member: string): string => `r.${member}`,
  log: (partition: number): string => `w.${partition}`,
  inbox: (shard: number): string => `q.${shard}`,
  allInboxes: "q.>",
  deadLetters: (kind: "rocketmq"): string => `dlq.${kind}`,
  allDeadLetters: "dlq.>",
  heartbeat: "hb",
  ping: (member: string): string => `ping.${member}`,
  commandEvents: (gateway: string, command: string): string => `csg.ev.${gateway}.${command}`,
} as const;

export const streams = {
  log: (partition: number): string => `HAWSER_WAL_${partition}`,
  inbox: "HAWSER_INBOX",
  deadLetters: "HAWSER_DLQ",
} as const;

/** KV buckets and what their keys are. */
export const buckets = {
  /** `layout`: shards, partitions, hash; written once, checked by every service at start. */
  layout: "hawser-layout",
  /** `<service>.<shard>`: owner and epoch (libs/shards). */
  shards: "hawser-shards",
  /** `instance.<id>`: the catalogue (libs/catalog). */
  catalog: "hawser-catalog",
  /** `<shard>.<actor>`: persistent sessions. */
  sessions: "hawser-sessions",
  /** `<shard>`: the persistent filters of a shard, read by the routers. */
  filters: "hawser-filters",
  /** `<shard>`: positions of the sessions of a shard in its inbox. */
  positions: "hawser-positions",
  /** `<consumer>.<partition>`: how far a consumer of the log has come. */
  cursors: "hawser-cursors",
  /** `<shard>.<actor>` and `<shard>.<actor>.<command>`: gateways and their commands. */
  gateways: "hawser-gateways",
} as const;

/** What a Client ID is called in a KV key or a subject: 22 characters of base64url(SHA-256). The record keeps the full id. */
export function actorToken(instance: string, clientId: string): string {
  return createHash("sha256").update(`${instance}/${clientId}`).digest("base64url").slice(0, 22);
}

/** The names of the services that own shards. The csg-agent's is also its name in actor rules. */
export const services = { ingress: "ingress", session: "session", router: "router", csg: "csg" } as const;
