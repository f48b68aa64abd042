/**
 * Every main path on one real stack: two of each service, a real nats-server, the real RocketMQ of
 * the run, three gateway programs (MQTT 3.1.1, 5, TLS).
 */
import { type OtlpSink, type S3Server, startOtlpSink, startS3, startStack, type TestStack } from "@hawser/testkit";
import { afterAll, beforeAll, describe } from "vitest";
import { BusinessSide } from "./kit/business-side.ts";
import { GatewayProgram } from "./kit/gateway-program.ts";
import { commandPaths } from "./paths/commands.ts";
import type { Parts } from "./paths/parts.ts";
import { sessionPaths } from "./paths/sessions.ts";
import { uplinkPaths } from "./paths/uplink.ts";

let parts: Parts | undefined;
const ending: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  const sink: OtlpSink = await startOtlpSink();
  ending.push(() => sink.stop());
  const store: S3Server = await startS3({ files: { "a.txt": "a", "b.txt": "b", "c/d.txt": "d" } });
  ending.push(() => store.stop());
  const stack: TestStack = await startStack({ ingress: 2, session: 2, router: 2, csgAgent: 2, otlpEndpoint: sink.url });
  ending.push(() => stack.stop());
  const business = new BusinessSide(stack);
  ending.push(() => business.stop());
  const { topics, groups } = stack;
  const uplink = business.listen(topics.demo, groups.appDemo);
  const presence = business.listen(topics.status, groups.appStatus);
  business.listenToReplies();
  const common = { store: store.access, otlpEndpoint: sink.url };
  const gateways = [
    new GatewayProgram(stack, { device: "gw-old", level: 4, ...common }).start(),
    new GatewayProgram(stack, { device: "gw-five", level: 5, ingress: 1, ...common }).start(),
    new GatewayProgram(stack, { device: "gw-tls", level: 4, tls: true, ingress: 1, ...common }).start(),
  ];
  for (const gateway of gateways) ending.push(() => gateway.stop());
  parts = { stack, sink, business, uplink, presence, gateways };
}, 200_000);

afterAll(async () => {
  for (const end of ending.reverse()) await end();
});

const now = (): Parts => parts!;

describe("between MQTT and RocketMQ", () => uplinkPaths(now));
describe("between MQTT clients", () => sessionPaths(now));
describe("commands", () => commandPaths(now));
