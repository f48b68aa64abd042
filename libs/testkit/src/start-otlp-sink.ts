import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { gunzipSync } from "node:zlib";
import { decodeTraces, type PlainSpan } from "./decode-otlp.ts";

export interface OtlpSink {
  /** What `telemetry.otlpEndpoint` takes. */
  readonly url: string;
  readonly port: number;
  /** Everything received so far, in the order of arrival. */
  readonly spans: readonly PlainSpan[];
  /** By the start of the spans. */
  trace(traceId: string): PlainSpan[];
  /** Waits until the condition holds for what has been received. @throws Error after timeoutMs, default 15 s */
  until(condition: (spans: readonly PlainSpan[]) => boolean, timeoutMs?: number): Promise<void>;
  stop(): Promise<void>;
}

/** Receives OTLP/HTTP protobuf traces and keeps their spans. @param port default any free one */
export async function startOtlpSink(port = 0): Promise<OtlpSink> {
  const spans: PlainSpan[] = [];
  const server = createServer((request, response) => {
    readBody(request).then(
      (body) => {
        if (request.method !== "POST" || request.url !== "/v1/traces") return void response.writeHead(404).end();
        try {
          spans.push(...decodeTraces(body));
          response.writeHead(200, { "content-type": "application/x-protobuf" }).end();
        } catch (error) {
          response.writeHead(400).end(String(error));
        }
      },
      () => response.destroy(),
    );
  });
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(port, "127.0.0.1", resolve));
  const address = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${address.port}`,
    port: address.port,
    spans,
    trace: (traceId) => spans.filter((span) => span.traceId === traceId).sort((a, b) => a.startMs - b.startMs),
    until: async (condition, timeoutMs = 15_000) => {
      const deadline = Date.now() + timeoutMs;
      while (!condition(spans)) {
        if (Date.now() > deadline) throw new Error(`not received within ${timeoutMs} ms; received: ${[...new Set(spans.map(({ service, name }) => `${service}: ${name}`))].join(", ") || "nothing"}`);
        await sleep(25);
      }
    },
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  const body = Buffer.concat(parts);
  return request.headers["content-encoding"] === "gzip" ? gunzipSync(body) : body;
}
