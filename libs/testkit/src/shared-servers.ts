/**
 * Runs in vitest's main process (test/setup/shared-servers.ts) and starts a shared server when the
 * first test file asks over HTTP: GET /rocketmq answers with its addresses once it serves.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { type OwnRocketMq, SHARED_SERVERS_VARIABLE, startOwnRocketMq } from "./start-rocketmq.ts";

export interface SharedServers {
  /** Stops what was started. */
  close(): Promise<void>;
}

export async function serveSharedServers(): Promise<SharedServers> {
  let rocketmq: Promise<OwnRocketMq> | undefined;
  const server = createServer((request, response) => {
    if (request.url !== "/rocketmq") return void response.writeHead(404).end();
    rocketmq ??= startOwnRocketMq();
    rocketmq.then(
      ({ endpoint, broker, namesrv }) => response.end(JSON.stringify({ endpoint, broker, namesrv })),
      (error: unknown) => response.writeHead(500).end(error instanceof Error ? error.message : String(error)),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  server.unref();
  process.env[SHARED_SERVERS_VARIABLE] = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    close: async () => {
      server.closeAllConnections();
      server.close();
      await rocketmq?.then(
        (each) => each.stop(),
        () => undefined,
      );
    },
  };
}
