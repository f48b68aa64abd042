export interface NatsConfigOptions {
  readonly port: number;
  readonly monitorPort?: number;
  readonly storeDir: string;
  readonly serverName?: string;
}

/**
 * A single nats-server for one machine. `sync_interval: always`: what JetStream acknowledges is on
 * the disk. A subscriber that does not read is cut after 2 s and never stalls who publishes to it.
 */
export function renderNatsConfig(options: NatsConfigOptions): string {
  return [
    `server_name: ${JSON.stringify(options.serverName ?? "hawser")}`,
    `host: "127.0.0.1"`,
    `port: ${options.port}`,
    ...(options.monitorPort ? [`http: "127.0.0.1:${options.monitorPort}"`] : []),
    `write_deadline: "2s"`,
    `no_fast_producer_stall: true`,
    `ping_interval: "5s"`,
    `ping_max: 2`,
    `max_payload: 1MB`,
    `jetstream {`,
    `  store_dir: ${JSON.stringify(options.storeDir)}`,
    `  sync_interval: always`,
    `  max_memory_store: 256MB`,
    `  max_file_store: 64GB`,
    `}`,
    "",
  ].join("\n");
}
