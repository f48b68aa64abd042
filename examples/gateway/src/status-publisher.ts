/** Sends the gateway's status, QoS 1, every few seconds: uplink that fans in to RocketMQ by an outbound rule. */
import type { GatewayClient } from "@hawser/gateway-sdk";
import { VERSION } from "./gateway-methods.ts";
import type { ShareDirectory } from "./share-directory.ts";

/** @returns stops it */
export function publishStatus(client: GatewayClient, shares: ShareDirectory, topic: string, everySeconds: number): () => void {
  let sequence = 0;
  const publish = async (): Promise<void> => {
    if (!client.connected) return;
    const status = {
      gateway: client.gateway,
      sequence: ++sequence,
      at: Date.now(),
      version: VERSION,
      uptimeSeconds: Math.round(process.uptime()),
      residentBytes: process.memoryUsage.rss(),
      runningCommands: client.runningCommands,
      shares: (await shares.list()).map(({ share, index }) => ({ share, objects: index?.objects ?? 0 })),
    };
    client.publish(topic, JSON.stringify(status), 1);
  };
  const tick = (): void => {
    publish().catch((error: unknown) => process.stderr.write(`status: ${String(error)}\n`));
  };
  const first = setInterval(() => {
    if (!client.ready) return;
    clearInterval(first);
    tick();
  }, 100);
  const timer = setInterval(tick, everySeconds * 1000);
  return () => {
    clearInterval(first);
    clearInterval(timer);
  };
}
