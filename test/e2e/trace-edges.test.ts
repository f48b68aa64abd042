/** One trace crosses every process: each span's parent is where the work came from. */
import { newUuidV7 } from "@hawser/csg-protocol";
import { type OtlpSink, type PlainSpan, startOtlpSink, startStack, type TestStack } from "@hawser/testkit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { ChildProgram } from "../../cli/src/demo/child-program.ts";
import { Device } from "./kit/device.ts";
import { GatewayProgram } from "./kit/gateway-program.ts";
import { gatewayOnline } from "./kit/rest.ts";
import { until } from "./kit/until.ts";

let stack: TestStack;
let sink: OtlpSink;
let control: ChildProgram;
const lines: { readonly event?: string; readonly id?: string; readonly kind?: string; readonly code?: string; readonly traceparent?: string | null }[] = [];
const ending: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  sink = await startOtlpSink();
  ending.push(() => sink.stop());
  stack = await startStack({ ingress: 2, otlpEndpoint: sink.url });
  ending.push(() => stack.stop());
  for (const level of [4, 5] as const) {
    const gateway = new GatewayProgram(stack, { device: `gw-${level}`, level, ingress: level - 4, otlpEndpoint: sink.url }).start();
    ending.push(() => gateway.stop());
  }
  const { topics, groups } = stack;
  control = new ChildProgram({
    main: "examples/control-plane/src/main.ts",
    args: ["--endpoints", stack.rocketmq, "--topic", topics.csgCommand, "--reply-topic", topics.csgReply, "--group", groups.appReply, "--otlp", sink.url],
    onLine: (line) => lines.push(JSON.parse(line) as (typeof lines)[number]),
  });
  ending.push(() => control.stop());
  await until("the control plane", () => lines, (all) => all.some(({ event }) => event === "ready"), 60_000);
}, 200_000);

afterAll(async () => {
  for (const end of ending.reverse()) await end();
});

/** Services from the root to a span, each named once per visit. */
function wayTo(span: PlainSpan, trace: readonly PlainSpan[]): string[] {
  const way: string[] = [];
  for (let at: PlainSpan | undefined = span; at; at = trace.find(({ spanId }) => spanId === at!.parentSpanId)) {
    const name = at.service.replace(/^hawser-/, "");
    if (way[0] !== name) way.unshift(name);
  }
  return way;
}

function render(trace: readonly PlainSpan[]): string {
  return trace.map((span) => `${span.spanId} < ${span.parentSpanId || "-"} ${span.service} ${span.name}`).join("\n");
}

/** Waits until a span of that name is in the trace together with everything above it. */
async function wholeWay(traceId: string, name: string): Promise<{ readonly way: string[]; readonly trace: readonly PlainSpan[] }> {
  const look = (): { way: string[]; trace: readonly PlainSpan[]; whole: boolean; shown: string } => {
    const trace = sink.trace(traceId);
    const span = trace.find((each) => each.name === name);
    const known = new Set(trace.map(({ spanId }) => spanId));
    const whole = span !== undefined && trace.every(({ parentSpanId }) => parentSpanId === "" || known.has(parentSpanId));
    return { way: span ? wayTo(span, trace) : [], trace, whole, shown: render(trace) };
  };
  try {
    return await until(`${name} in trace ${traceId}`, look, ({ whole }) => whole);
  } catch {
    throw new Error(`${name} is not whole in trace ${traceId}:\n${look().shown}`);
  }
}

async function command(gateway: string): Promise<string> {
  await gatewayOnline(stack, gateway);
  const id = newUuidV7();
  control.writeLine({ gateway, method: "gateway.ping", params: { payload: "traced" }, id });
  await until(`the reply to ${id}`, () => lines.filter((line) => line.id === id), (all) => all.some(({ kind, code }) => kind === "final" && code === "OK"));
  return lines.find((line) => line.id === id && line.event === "sent")!.traceparent!.slice(3, 35);
}

it("follows a command to an MQTT 5 gateway and back through every process", async () => {
  const traceId = await command("gw-5");
  const { way, trace } = await wholeWay(traceId, `send ${stack.topics.csgReply}`);
  expect(way, render(trace)).toEqual(["control-plane", "router", "csg-agent", "session", "ingress", "gateway", "ingress", "csg-agent", "router"]);
  const run = trace.find(({ name }) => name === "gateway.run gateway.ping")!;
  expect(wayTo(run, trace)).toEqual(["control-plane", "router", "csg-agent", "session", "ingress", "gateway"]);
  expect(trace.filter(({ status }) => status === "error")).toEqual([]);
});

it("follows a command to a 3.1.1 gateway, whose messages carry the trace in their bodies", async () => {
  const traceId = await command("gw-4");
  const { way, trace } = await wholeWay(traceId, `send ${stack.topics.csgReply}`);
  // nobody on the way writes into a body: the gateway continues where the command was sent
  expect(way, render(trace)).toEqual(["control-plane", "router", "csg-agent", "gateway", "csg-agent", "router"]);
  const deliver = trace.find(({ name }) => name === "deliver csgDown")!;
  expect(wayTo(deliver, trace), render(trace)).toEqual(["control-plane", "router", "csg-agent", "session", "ingress"]);
});

it("hands the trace of a command on to its caller in the reply", async () => {
  const reply = lines.find(({ kind }) => kind === "final")!;
  const sent = lines.find(({ event, id }) => event === "sent" && id === reply.id)!;
  expect(reply.traceparent?.slice(3, 35)).toBe(sent.traceparent!.slice(3, 35));
});

it("follows an MQTT uplink from the ingress to the router's send, and to the ingress of a subscriber", async () => {
  const traceId = "11112222333344445555666677778888";
  const parent = "aaaabbbbccccdddd";
  const listener = await Device.connect(stack, "trace-listener");
  await listener.subscribe({ filter: "demo/traced", qos: 1 });
  const device = await Device.connect(stack, "traced", { level: 5, ingress: 1 });
  await device.publish({ topic: "demo/traced", payload: "x", qos: 1, properties: { userProperty: [["traceparent", `00-${traceId}-${parent}-01`]] } });
  await listener.until("the message", (all) => all.length > 0);
  const wanted = ["publish demo", `send ${stack.topics.demo}`, "deliver demo"];
  const look = (): readonly PlainSpan[] => sink.trace(traceId);
  const trace = await until(`${wanted.join(", ")} in the trace`, look, (spans) => wanted.every((name) => spans.some((span) => span.name === name)));
  const publish = trace.find(({ name }) => name === "publish demo")!;
  expect(publish.parentSpanId).toBe(parent);
  expect(publish.resource["service.instance.id"]).toMatch(/^ingress-1/);
  const send = trace.find(({ name }) => name === `send ${stack.topics.demo}`)!;
  expect(wayTo(send, trace), render(trace)).toEqual(["ingress", "router"]);
  const deliver = trace.find(({ name }) => name === "deliver demo")!;
  expect(deliver.parentSpanId).toBe(publish.spanId);
  expect(deliver.resource["service.instance.id"]).toMatch(/^ingress-0/);
  await Promise.all([listener.leave(), device.leave()]);
});
