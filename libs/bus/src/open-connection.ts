import { connect, type NatsConnection } from "@nats-io/transport-node";
import { jetstreamManager, type JetStreamManager } from "@nats-io/jetstream";
import { errorLine, HawserError } from "@hawser/errors";

const MIN_VERSION = [2, 12] as const;
const RECONNECT_WAIT_MS = 250;
const PING_INTERVAL_MS = 2_000;
const API_TIMEOUT_MS = 10_000;

/**
 * The first connection, tried for `connectWithinMs`: in a cluster everything starts at once. Later
 * ones are the client's own business, for ever.
 * @throws HawserError HAWSER_E_NATS_CONNECT, _NATS_VERSION, _NATS_JETSTREAM
 */
export async function openConnection(url: string, name: string, connectWithinMs: number): Promise<{ nc: NatsConnection; jsm: JetStreamManager }> {
  const nc = await dial(url, name, performance.now() + connectWithinMs);
  const version = nc.info?.version ?? "0.0.0";
  if (!isSupported(version)) {
    await nc.close();
    throw new HawserError("HAWSER_E_NATS_VERSION", `nats-server ${version} at ${url} is too old: 2.12 or newer is needed`);
  }
  try {
    return { nc, jsm: await jetstreamManager(nc, { timeout: API_TIMEOUT_MS }) };
  } catch (cause) {
    await nc.close();
    throw new HawserError("HAWSER_E_NATS_JETSTREAM", `nats-server at ${url} has no JetStream: ${errorLine(cause)}`, { cause });
  }
}

async function dial(url: string, name: string, deadlineMs: number): Promise<NatsConnection> {
  for (;;) {
    try {
      return await connect({
        servers: url.split(","),
        name,
        maxReconnectAttempts: -1,
        reconnectTimeWait: RECONNECT_WAIT_MS,
        reconnectJitter: RECONNECT_WAIT_MS,
        pingInterval: PING_INTERVAL_MS,
        maxPingOut: 2,
        noAsyncTraces: true,
        ignoreAuthErrorAbort: true,
        timeout: Math.max(1_000, deadlineMs - performance.now()),
      });
    } catch (cause) {
      const refusedUs = cause instanceof Error && /authoriz|authentic/i.test(cause.message);
      if (refusedUs || performance.now() + RECONNECT_WAIT_MS > deadlineMs) {
        throw new HawserError("HAWSER_E_NATS_CONNECT", `NATS cannot be reached at ${url}: ${errorLine(cause)}`, { cause });
      }
      await new Promise((resolve) => setTimeout(resolve, RECONNECT_WAIT_MS));
    }
  }
}

function isSupported(version: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major > MIN_VERSION[0] || (major === MIN_VERSION[0] && minor >= MIN_VERSION[1]);
}
