/** One trace: the request's context goes down to the gateway, the gateway's comes back with the reply. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { newUuidV7 } from "@hawser/csg-protocol";
import { startTelemetry, stopTelemetry } from "@hawser/telemetry";
import { FakeGateway, Platform } from "./platform.ts";

let platform: Platform;
let sink: Server;
const wait = { timeout: 8_000, interval: 10 };

beforeAll(async () => {
  // spans have contexts only while they are exported somewhere
  sink = createServer((request, response) => request.resume().on("end", () => response.writeHead(200).end())).listen(0, "127.0.0.1");
  await once(sink, "listening");
  await startTelemetry({ service: "csg-agent", member: "m", otlpEndpoint: `http://127.0.0.1:${(sink.address() as AddressInfo).port}`, sampleRatio: 0 });
  platform = await Platform.start();
  await platform.startAgent();
}, 20_000);

afterAll(async () => {
  await platform.stop();
  await stopTelemetry();
  sink.close();
});

const traceOf = (traceparent: string | undefined): string | undefined => traceparent?.slice(3, 35);
const spanOf = (traceparent: string | undefined): string | undefined => traceparent?.slice(36, 52);

describe("the trace of a command", () => {
  it("is the request's all the way, each hop with a span of its own", async () => {
    const gateway = new FakeGateway(platform, "gw-1");
    await gateway.connect();
    await vi.waitUntil(() => gateway.ready, wait);
    const [id, trace] = [newUuidV7(), "4bf92f3577b34da6a3ce929d0e0e4736"];
    gateway.traceparent = `00-${trace}-1111111111111111-01`;
    await platform.submit("gw-1", { correlation_id: id, subject: "gateway.ping", traceparent: `00-${trace}-00f067aa0ba902b7-01` }, {});
    await vi.waitUntil(() => platform.finals(id).length > 0, wait);
    const down = gateway.received.find((message) => message.k === "req");
    const downContext = down?.k === "req" ? down.traceparent : undefined;
    const replyContext = platform.finals(id)[0]!.properties.traceparent;
    expect([traceOf(downContext), traceOf(replyContext)]).toEqual([trace, trace]);
    expect(new Set([spanOf(downContext), spanOf(replyContext), "00f067aa0ba902b7", "1111111111111111"]).size).toBe(4);
  });

  it("of a request that is not sampled there is nothing", async () => {
    const gateway = new FakeGateway(platform, "gw-2");
    await gateway.connect();
    await vi.waitUntil(() => gateway.ready, wait);
    const id = newUuidV7();
    await platform.submit("gw-2", { correlation_id: id, subject: "gateway.ping" }, {});
    await vi.waitUntil(() => platform.finals(id).length > 0, wait);
    expect(gateway.received.find((message) => message.k === "req")).not.toHaveProperty("traceparent");
    expect(platform.finals(id)[0]!.properties).not.toHaveProperty("traceparent");
  });
});
