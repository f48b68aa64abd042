/**
 * Commands: RocketMQ -> router -> csg-agent -> session -> ingress -> gateway (journal, fsync) and
 * back to RocketMQ as the final reply. `gateway.ping`, reference gateways, one command in flight and
 * a hundred; what happened in between by the states that the actor keeps.
 *
 *   BENCH_GATEWAYS=4 BENCH_COMMANDS=300 BENCH_IN_FLIGHT=10 ./hawser bench commands
 */
import { setTimeout as sleep } from "node:timers/promises";
import { progress, type Stack } from "@hawser/stack";
import { optionOf, withStack } from "./parts/bench-stack.ts";
import { CommandClient, type CommandOutcome } from "./parts/command-client.ts";
import { GatewayProcesses } from "./parts/gateway-processes.ts";
import { LatencyCounts } from "./parts/latency-counts.ts";
import { processesOf, UsageMeter } from "./parts/process-usage.ts";
import { printTable, round } from "./parts/table.ts";

const GATEWAYS = optionOf("GATEWAYS", 4);
const COMMANDS = optionOf("COMMANDS", 0);
const IN_FLIGHT = optionOf("IN_FLIGHT", 0);
const WARM_COMMANDS = 200;
const HISTORIES = 50;
const WAIT_MS = 60_000;

interface Run {
  readonly inFlight: number;
  readonly commands: number;
}

interface Finished {
  readonly gateway: string;
  readonly outcome: CommandOutcome;
}

function runs(): Run[] {
  if (IN_FLIGHT > 0) return [{ inFlight: IN_FLIGHT, commands: COMMANDS || 1000 }];
  return [
    { inFlight: 1, commands: COMMANDS || 300 },
    { inFlight: 100, commands: COMMANDS || 2000 },
  ];
}

/** Always `inFlight` commands without a reply, over the gateways in turn. */
function send(client: CommandClient, gateways: readonly string[], { inFlight, commands }: Run): Promise<Finished[]> {
  return new Promise((resolve, reject) => {
    const finished: Finished[] = [];
    let sent = 0;
    const timer = setTimeout(() => reject(new Error(`${commands - finished.length} of ${commands} commands have no reply after ${WAIT_MS / 1000} s`)), WAIT_MS);
    const next = (): void => {
      if (sent === commands) return;
      const gateway = gateways[sent++ % gateways.length]!;
      client.ping(gateway, (outcome) => {
        finished.push({ gateway, outcome });
        if (finished.length < commands) return next();
        clearTimeout(timer);
        resolve(finished);
      });
    };
    for (let started = 0; started < inFlight; started++) next();
  });
}

/** Median time of each state after the business system has sent the command, `QUEUED 9 > SENT 12 > ...`, of some commands. */
async function statesOf(gateways: GatewayProcesses, finished: readonly Finished[]): Promise<string> {
  const offsets = new Map<string, number[]>();
  for (const { gateway, outcome } of finished.slice(-HISTORIES)) {
    const history = await gateways.historyOf(gateway, outcome.id);
    const steps = [{ state: "in RocketMQ", at: outcome.sentAtMs + Math.round(outcome.storedMs) }, ...history, { state: "reply in hand", at: outcome.sentAtMs + Math.round(outcome.latencyMs) }];
    for (const { state, at } of steps) offsets.set(state, [...(offsets.get(state) ?? []), at - outcome.sentAtMs]);
  }
  return [...offsets].map(([state, times]) => `${state} ${times.sort((a, b) => a - b)[times.length >>> 1]!}`).join(" > ");
}

async function measure(stack: Stack, client: CommandClient, gateways: GatewayProcesses, run: Run): Promise<{ row: string[]; cost: string[]; states: string }> {
  progress(`${run.commands} commands, ${run.inFlight} in flight`);
  const meter = new UsageMeter(processesOf(stack.state), [process.pid, ...gateways.pids]);
  const finished = await send(client, gateways.names, run);
  const usage = meter.read();
  const latencies = new LatencyCounts();
  for (const { outcome } of finished) latencies.record(outcome.latencyMs);
  const good = finished.filter(({ outcome }) => outcome.code === "OK").length;
  const costs = usage.used.map(({ us }) => us / run.commands / 1000);
  return {
    row: [`${run.inFlight}`, `${good} of ${run.commands}`, round(run.commands / usage.seconds, 0), round(latencies.percentile(0.5)), round(latencies.percentile(0.99)), round(latencies.percentile(1))],
    cost: [`${run.inFlight}`, ...costs.map((ms) => round(ms, 2)), round(usage.own / run.commands / 1000, 2), round(usage.otherCores, 2)],
    states: `${run.inFlight} in flight: ${await statesOf(gateways, finished)}`,
  };
}

await withStack([], async (stack) => {
  progress(`${GATEWAYS} gateways`);
  const gateways = new GatewayProcesses(stack, GATEWAYS);
  const client = new CommandClient(stack.state.endpoints.rocketmq!);
  try {
    await gateways.online();
    while (!client.connected) await sleep(50);
    await send(client, gateways.names, { inFlight: 10, commands: WARM_COMMANDS });
    const results = [];
    for (const run of runs()) results.push(await measure(stack, client, gateways, run));
    printTable(["in flight", "final reply OK", "commands/s", "p50 ms", "p99 ms", "max ms"], results.map(({ row }) => row));
    printTable(["ms of CPU per command", ...processesOf(stack.state).map(({ name }) => name), "gateways and load", "others, cores"], results.map(({ cost }) => cost));
    process.stdout.write(`\nstates, median ms after the business system has sent the command:\n${results.map(({ states }) => states).join("\n")}\n`);
  } finally {
    await client.stop();
    gateways.stop();
  }
});
