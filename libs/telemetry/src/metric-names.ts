/**
 * Every metric of Hawser: name, help, labels. Units by Prometheus custom: `_total` for counters,
 * `_seconds`, `_bytes`. Labels have few values: never a Client ID, a topic, an address.
 */
export interface Metric<L extends string = string> {
  readonly name: string;
  readonly help: string;
  readonly labels: readonly L[];
}

function metric<const L extends string = never>(name: string, help: string, ...labels: L[]): Metric<L> {
  return { name: `hawser_${name}`, help, labels };
}

export const metricNames = {
  // ingress: connections
  connections: metric("mqtt_connections", "MQTT connections open now", "listener"),
  connects: metric("mqtt_connects_total", "CONNECT packets by outcome (accepted, or why not)", "outcome"),
  closes: metric("mqtt_closes_total", "Connections closed, by reason", "reason"),
  malformedPackets: metric("mqtt_malformed_packets_total", "Connections closed for what they sent", "reason"),

  // ingress: messages
  publishesIn: metric("mqtt_publishes_received_total", "PUBLISH packets of clients", "qos"),
  publishesRefused: metric("mqtt_publishes_refused_total", "PUBLISH packets refused, by reason", "reason"),
  publishesDropped: metric("mqtt_publishes_dropped_total", "Messages not sent to a client, by reason", "reason"),
  subscriptions: metric("mqtt_subscriptions", "Subscriptions of connected clients"),
  subscribesRefused: metric("mqtt_subscribes_refused_total", "Filters refused, by reason", "reason"),
  interests: metric("mqtt_interests", "NATS subjects this process listens to for its clients"),
  liveDuplicates: metric("mqtt_live_duplicates_total", "Copies of a live message dropped: overlapping interests"),

  // bus
  busConnected: metric("nats_connected", "1 while connected to NATS"),
  busDisconnects: metric("nats_disconnects_total", "Times the connection to NATS was lost"),

  // log
  logCommits: metric("log_commits_total", "Commits to the log by outcome", "partition", "outcome"),
  logCommitSeconds: metric("log_commit_seconds", "A commit to the log", "partition"),
  logRecords: metric("log_records_total", "Records appended", "partition"),
  logBytes: metric("log_appended_bytes_total", "Bytes appended", "partition"),
  logLag: metric("log_lag_entries", "Entries a consumer has not finished", "consumer", "partition"),

  // shards and actors
  shardsOwned: metric("shards_owned", "Shards this process owns", "service"),
  actorsActive: metric("actors_active", "Actors in memory", "service"),

  // session
  sessions: metric("sessions", "Sessions known to this process", "kind"),
  attaches: metric("session_attaches_total", "Connections re-attached after a shard moved", "outcome"),
  inboxQueued: metric("inbox_queued_messages", "Messages that wait for their sessions"),
  inboxDropped: metric("inbox_dropped_total", "Messages of inboxes dropped, by reason", "reason"),
  inboxDelivered: metric("inbox_delivered_total", "Messages of inboxes acknowledged by their clients"),
  inboxRedelivered: metric("inbox_redelivered_total", "Messages of inboxes sent again"),
  p2p: metric("p2p_messages_total", "P2P messages by state", "state"),
  receipts: metric("p2p_receipts_total", "Receipts of P2P messages by state", "state"),
  presenceEvents: metric("presence_events_total", "Presence events", "type"),

  // router
  rocketmqSent: metric("rocketmq_sent_messages_total", "Messages sent to RocketMQ by outcome", "rule", "outcome"),
  rocketmqSendSeconds: metric("rocketmq_send_seconds", "A batch to RocketMQ"),
  rocketmqBatchMessages: metric("rocketmq_batch_messages", "Messages of a batch"),
  rocketmqReceived: metric("rocketmq_received_messages_total", "Messages received from RocketMQ by outcome", "rule", "outcome"),
  rocketmqAcks: metric("rocketmq_acks_total", "Acknowledgements to RocketMQ by outcome", "outcome"),
  rocketmqUp: metric("rocketmq_connected", "1 while RocketMQ answers"),
  loopsDropped: metric("rocketmq_loops_dropped_total", "Messages an inbound rule would have brought back where they came from", "rule"),
  propertiesDropped: metric("properties_dropped_total", "Properties that cannot cross, by reason", "direction", "reason"),
  propertiesEncoded: metric("properties_encoded_total", "Property values that crossed percent-encoded"),
  expiredDropped: metric("expired_messages_total", "Messages whose expiry had passed", "where"),

  // csg-agent
  commands: metric("csg_commands_total", "Commands by final state", "state", "code"),
  commandsOpen: metric("csg_commands_open", "Commands that are not final"),
  commandSeconds: metric("csg_command_seconds", "A command until it is final", "lane"),
  commandResends: metric("csg_command_resends_total", "Commands sent again"),
  foreignAnswers: metric("csg_foreign_answers_total", "Answers of a gateway for another one: refused"),
  badUplinks: metric("csg_bad_uplinks_total", "Uplink messages that make no sense, by reason", "reason"),
  repliesOwed: metric("csg_replies_owed", "Replies stored and not yet in the log"),
  restRequests: metric("csg_rest_requests_total", "REST requests", "route", "status"),

  // catalogue, telemetry
  catalogVersion: metric("catalog_version", "Version of an instance's catalogue record", "instance"),
  catalogErrors: metric("catalog_errors_total", "Catalogue records that could not be used"),
  spansStarted: metric("telemetry_spans_total", "Spans by what became of them: ended, exported, failed", "outcome"),
} as const;
