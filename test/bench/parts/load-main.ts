/**
 * The load, a process of its own: `node load-main.ts '<options as JSON>'`. Says `ready` when all
 * connections are open; then obeys lines on stdin: `go`, `mark` (answers what happened since the
 * mark before, and begins anew), `quiet` (publishes no more, answers when everything is
 * acknowledged), `end`.
 */
import { createInterface } from "node:readline";
import { signClientId } from "@hawser/rules";
import { LatencyCounts } from "./latency-counts.ts";
import { LoadConnection } from "./load-connection.ts";

export interface LoadOptions {
  readonly host: string;
  readonly port: number;
  readonly accessKeyId: string;
  readonly accessKeySecret: string;
  readonly instance: string;
  readonly connections: number;
  readonly window: number;
  /** Messages per second of all connections, 0 = as many as the windows allow. */
  readonly rate: number;
  readonly payloadBytes: number;
}

export interface LoadMark {
  readonly acked: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

const CONNECTING_AT_A_TIME = 50;
const PACE_MS = 2;

const options = JSON.parse(process.argv[2]!) as LoadOptions;
const latencies = new LatencyCounts();
const connections = Array.from({ length: options.connections }, (_, index) => {
  const clientId = `GID_demo@@@bench${index}`;
  return new LoadConnection({
    host: options.host,
    port: options.port,
    clientId,
    userName: `Signature|${options.accessKeyId}|${options.instance}`,
    password: signClientId(options.accessKeySecret, clientId),
    topic: `demo/${index}/x`,
    payloadBytes: options.payloadBytes,
    window: options.window,
    latencies,
    greedy: options.rate === 0,
    onFailure: (reason) => {
      say({ event: "failed", reason });
      process.exit(1);
    },
  });
});

let pacer: NodeJS.Timeout | undefined;

function say(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

function go(): void {
  if (options.rate === 0) {
    for (const each of connections) each.publish(each.room);
    return;
  }
  const beganMs = performance.now();
  let given = 0;
  let turn = 0;
  pacer = setInterval(() => {
    const due = Math.floor(((performance.now() - beganMs) / 1000) * options.rate);
    for (; given < due; given++) {
      let tried = 0;
      while (tried < connections.length && connections[turn]!.room === 0) {
        turn = (turn + 1) % connections.length;
        tried++;
      }
      // no window has room: what is late is not caught up with
      if (tried < connections.length) connections[turn]!.publish(1);
      turn = (turn + 1) % connections.length;
    }
  }, PACE_MS);
}

function mark(): LoadMark {
  const result = { acked: latencies.total, p50Ms: latencies.percentile(0.5), p99Ms: latencies.percentile(0.99), maxMs: latencies.percentile(1) };
  latencies.clear();
  return result;
}

async function quiet(): Promise<void> {
  clearInterval(pacer);
  for (const each of connections) each.quiet();
  while (connections.some(({ unacked }) => unacked > 0)) await new Promise((resolve) => setTimeout(resolve, 10));
  say({ event: "quiet", acked: connections.reduce((sum, each) => sum + each.acked, 0) });
}

for (let at = 0; at < connections.length; at += CONNECTING_AT_A_TIME) {
  await Promise.all(connections.slice(at, at + CONNECTING_AT_A_TIME).map((each) => each.open()));
}
say({ event: "ready" });
for await (const line of createInterface({ input: process.stdin })) {
  if (line === "go") go();
  else if (line === "mark") say({ event: "mark", ...mark() });
  else if (line === "quiet") await quiet();
  else if (line === "end") break;
}
for (const each of connections) each.close();
setTimeout(() => process.exit(0), 100).unref();
