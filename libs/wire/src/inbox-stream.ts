import { streams, subjects } from "./subjects.ts";

/**
 * The stream of all inboxes, `q.<shard>`: written by the routers and the session owners, whoever
 * starts first creates it. It refuses when it is full and has no age limit: the owner of a shard
 * purges what nobody wants any more, and drops what waited too long itself.
 */
export function inboxStreamConfig(replicas = 1) {
  return {
    name: streams.inbox,
    subjects: [subjects.allInboxes],
    storage: "file",
    retention: "limits",
    discard: "new",
    max_age: 0,
    num_replicas: replicas,
  } as const;
}
