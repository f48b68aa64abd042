/**
 * Uplink: QoS 1 PUBLISH of devices -> ingress -> log (fsync) -> PUBACK, and log -> router ->
 * RocketMQ. One stack, four loads one after the other; or one of your own:
 *
 *   BENCH_SECONDS=15 BENCH_CONNECTIONS=50 BENCH_WINDOW=20 BENCH_RATE=0 ./hawser bench uplink
 *
 * Counted at the device (PUBACK) and at the router (RocketMQ's SEND_OK); in the end both must have
 * the same number. BENCH_PAYLOAD bytes of payload, BENCH_WARM seconds before each measurement.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { progress, type Stack } from "@hawser/stack";
import { optionOf, withStack } from "./parts/bench-stack.ts";
import { LoadProcess, type LoadShape } from "./parts/load-process.ts";
import { processesOf, type Usage, UsageMeter } from "./parts/process-usage.ts";
import { metricOf } from "./parts/scrape.ts";
import { printTable, round, thousands } from "./parts/table.ts";

const SECONDS = optionOf("SECONDS", 12);
const WARM_SECONDS = optionOf("WARM", 4);
const PAYLOAD_BYTES = optionOf("PAYLOAD", 256);
const DRAIN_MS = 60_000;
/** A lag from which on draining it is a measurement of its own. */
const LARGE_LAG = 50_000;

const titles = ["load", "acked/s", "rocketmq/s", "lag", "drained in ms", "p50 ms", "p99 ms", "max ms"];
/** RocketMQ and the router by what they sent, the others by what was acknowledged. */
const costTitles = ["us of CPU per message", "ingress", "nats", "router", "session", "csg-agent", "rocketmq", "sum", "load", "others, cores"];

function shapes(): LoadShape[] {
  const base = { window: 20, rate: 0, payloadBytes: PAYLOAD_BYTES };
  const own = ["CONNECTIONS", "WINDOW", "RATE"].some((name) => process.env[`BENCH_${name}`]);
  if (own) return [{ ...base, connections: optionOf("CONNECTIONS", 50), window: optionOf("WINDOW", 20), rate: optionOf("RATE", 0) }];
  return [
    { ...base, connections: 50 },
    { ...base, connections: 1000, window: 1 },
    { ...base, connections: 50, rate: 15_000 },
    { ...base, connections: 50, rate: 2000 },
  ];
}

function sentToRocketMq({ state }: Stack): Promise<number> {
  return metricOf(state.endpoints.metrics.router, "hawser_rocketmq_sent_messages_total", { rule: "demo-out", outcome: "sent" });
}

interface Measured {
  readonly row: string[];
  readonly costs: string[][];
}

async function measure(stack: Stack, shape: LoadShape): Promise<Measured> {
  const name = `${shape.connections} x ${shape.window}${shape.rate > 0 ? `, ${shape.rate}/s` : ""}`;
  progress(`${name}: connecting`);
  const sentBefore = await sentToRocketMq(stack);
  const load = await LoadProcess.start(stack.state, shape);
  load.go();
  await sleep(WARM_SECONDS * 1000);
  const sentAtBegin = await sentToRocketMq(stack);
  const warm = await load.mark();
  const meter = new UsageMeter(processesOf(stack.state), [load.pid, process.pid]);
  progress(`${name}: measuring`);
  await sleep(SECONDS * 1000);
  const marked = await load.mark();
  const usage = meter.read();
  const sentAtEnd = await sentToRocketMq(stack);
  const acked = await load.quiet();
  const sentAtQuiet = await sentToRocketMq(stack);
  const draining = new UsageMeter(processesOf(stack.state), [load.pid, process.pid]);
  const drainedMs = await drained(stack, sentBefore + acked);
  const drain = draining.read();
  const backlog = sentBefore + acked - sentAtQuiet;
  await load.end();
  const sent = Math.max(1, sentAtEnd - sentAtBegin);
  const lag = warm.acked + marked.acked - (sentAtEnd - sentBefore);
  return {
    row: [
      name,
      thousands(marked.acked / usage.seconds),
      thousands(sent / usage.seconds),
      thousands(Math.max(0, lag)),
      thousands(drainedMs),
      round(marked.p50Ms),
      round(marked.p99Ms),
      round(marked.maxMs),
    ],
    costs: [
      costRow(name, usage, (of) => (of.startsWith("router") || of === "rocketmq" ? sent : marked.acked), marked.acked),
      ...(backlog >= LARGE_LAG ? [costRow(`${name}, its lag at ${thousands(backlog / drain.seconds)}/s`, drain, () => backlog, backlog)] : []),
    ],
  };
}

function costRow(name: string, usage: Usage, messagesOf: (process: string) => number, messages: number): string[] {
  const costs = usage.used.map(({ name: of, us }) => us / messagesOf(of));
  return [name, ...costs.map((us) => round(us)), round(costs.reduce((total, us) => total + us, 0)), round(usage.own / messages), round(usage.otherCores, 2)];
}

/** Waits until RocketMQ has stored everything that was acknowledged. */
async function drained(stack: Stack, expected: number): Promise<number> {
  const beganMs = performance.now();
  for (;;) {
    const sent = await sentToRocketMq(stack);
    const elapsedMs = performance.now() - beganMs;
    if (sent >= expected) return elapsedMs;
    if (elapsedMs > DRAIN_MS) throw new Error(`${expected - sent} acknowledged messages are not in RocketMQ after ${DRAIN_MS / 1000} s`);
    await sleep(20);
  }
}

await withStack([], async (stack) => {
  const results = [];
  for (const shape of shapes()) results.push(await measure(stack, shape));
  printTable(titles, results.map(({ row }) => row));
  printTable(costTitles, results.flatMap(({ costs }) => costs));
});
