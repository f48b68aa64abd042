/**
 * /live, /ready and /metrics of a service. Live means that the event loop turns, nothing else: a
 * probe that depended on NATS or RocketMQ would restart the whole fleet when those are away. Ready
 * means "can serve now" and says why not.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { listenError } from "@hawser/errors";

export interface MetricsSource {
  readonly contentType: string;
  metrics(): Promise<string>;
}

export interface HealthOptions {
  readonly host: string;
  /** 0 = any free port. */
  readonly port: number;
  /** Null when the service can serve, else why not, in a few words. */
  readonly ready: () => string | null;
  readonly registry: MetricsSource;
}

export interface Health {
  readonly port: number;
  close(): Promise<void>;
}

/** @throws HawserError HAWSER_E_PORT_TAKEN, HAWSER_E_LISTEN */
export function startHealth(options: HealthOptions): Promise<Health> {
  const server = createServer((request, response) => {
    answer(options, request, response).catch((error: unknown) => {
      if (!response.headersSent) reply(response, 500, `${error instanceof Error ? error.message : String(error)}\n`);
      else response.destroy();
    });
  });
  server.keepAliveTimeout = 5000;
  return new Promise((resolve, reject) => {
    server.once("error", (error) => reject(listenError(error, "health.port", `${options.host}:${options.port}`)));
    server.listen(options.port, options.host, () => resolve({ port: (server.address() as AddressInfo).port, close: () => close(server) }));
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

async function answer(options: HealthOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.method !== "GET" && request.method !== "HEAD") return reply(response, 405, "GET only\n");
  switch (request.url?.split("?")[0]) {
    case "/live":
      return reply(response, 200, "ok\n");
    case "/ready": {
      const reason = options.ready();
      return reply(response, reason === null ? 200 : 503, `${reason ?? "ok"}\n`);
    }
    case "/metrics":
      return reply(response, 200, await options.registry.metrics(), options.registry.contentType);
    default:
      return reply(response, 404, "/live, /ready or /metrics\n");
  }
}

function reply(response: ServerResponse, status: number, body: string, contentType = "text/plain; charset=utf-8"): void {
  response.writeHead(status, { "content-type": contentType, "cache-control": "no-store", "content-length": Buffer.byteLength(body) });
  response.end(body);
}
