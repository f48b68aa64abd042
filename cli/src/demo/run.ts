/**
 * `hawser demo`: the whole stack, three gateways, an object store with this repository in it, and a
 * RocketMQ application that commands them. Exit code 0 only if every expectation held; nothing is
 * left behind.
 */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseSetting } from "@hawser/config";
import { defaultGroups, defaultTopics, natsServerBinary, progress, rocketMqBinary, Stack } from "@hawser/stack";
import { startOtlpSink, startS3 } from "@hawser/testkit";
import { TopicReader } from "./app-messages.ts";
import { ControlPlane } from "./control-plane.ts";
import { fleet, GatewayFleet } from "./gateway-fleet.ts";
import { renderTable, type Expectation } from "./report.ts";
import { RestClient } from "./rest-client.ts";
import { runScenario } from "./scenario.ts";
import { renderTrace } from "./trace-tree.ts";

const ROOT = resolve(import.meta.dirname, "../../..");
const COUNTS = { ingress: 2, session: 2, router: 2, csgAgent: 2 };
const TRACE_WAIT_MS = 8_000;
const BUCKET = "repository";

export async function runDemo(): Promise<void> {
  const startedMs = Date.now();
  const data = mkdtempSync(join(tmpdir(), "hawser-demo-"));
  const ending: (() => Promise<unknown>)[] = [];
  const abort = new AbortController();
  let interrupted = false;
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      interrupted = true;
      abort.abort();
    });
  }
  const cut = new Promise<never>((_, reject) => abort.signal.addEventListener("abort", () => reject(new Error("interrupted"))));
  cut.catch(() => undefined);
  let rows: readonly Expectation[] = [];
  let failure: unknown = null;
  try {
    rows = await Promise.race([play(data, ending, abort.signal), cut]);
  } catch (error) {
    failure = error;
  }
  progress("stopping everything");
  for (const end of ending.reverse()) await end().catch(() => undefined);
  const held = failure === null && rows.length > 0 && rows.every((row) => row.held);
  const started = existsSync(join(data, "logs"));
  if (held || interrupted || !started) rmSync(data, { recursive: true, force: true });
  else process.stderr.write(`hawser: logs are in ${join(data, "logs")}\n`);
  if (failure !== null && !interrupted) throw failure;
  if (interrupted) {
    progress("interrupted; nothing is left running");
    process.exit(130);
  }
  const good = rows.filter((row) => row.held).length;
  process.stdout.write(`\n${good} of ${rows.length} expectations held, in ${((Date.now() - startedMs) / 1000).toFixed(1)} s\n`);
  process.exit(held ? 0 : 1);
}

async function play(data: string, ending: (() => Promise<unknown>)[], signal: AbortSignal): Promise<readonly Expectation[]> {
  // what cannot be had is said before anything is started
  await Promise.all([natsServerBinary(), rocketMqBinary()]);
  const sink = await startOtlpSink();
  ending.push(() => sink.stop());
  progress("an object store with this repository in it");
  const s3 = await startS3({ bucket: BUCKET, from: ROOT });
  ending.push(() => s3.stop());
  const settings = [`telemetry.otlpEndpoint=${sink.url}`, "telemetry.sampleRatio=1", "csg.presenceGraceMs=1000"].map(parseSetting);
  const stack = await Stack.start({ data, counts: COUNTS, rocketmq: { kind: "real" }, plain: false, settings, throwAway: true, progress }, signal);
  ending.push(() => stack.stop());
  const { state } = stack;
  const rocketmq = state.endpoints.rocketmq!;
  const [topics, groups] = [defaultTopics(""), defaultGroups("")];
  const status = new TopicReader(rocketmq, topics.csgStatus, groups.appCsgStatus);
  const presence = new TopicReader(rocketmq, topics.status, groups.appStatus);
  ending.push(() => status.stop(), () => presence.stop());
  const gateways = new GatewayFleet(stack, s3.access, sink.url);
  ending.push(() => gateways.stopAll());
  for (const spec of fleet) gateways.start(spec);
  const control = new ControlPlane(rocketmq, sink.url);
  ending.push(() => control.stop());
  await control.ready();
  const rest = new RestClient(state.endpoints.rest, state.credentials.restToken);
  const outcome = await runScenario({ state, control, gateways, rest, sink, status, presence, objects: s3.objects, say: progress });
  process.stdout.write(`\n${renderTable(outcome.rows).join("\n")}\n`);
  const spans = await traced(sink, outcome.traceId);
  process.stdout.write(`\nTrace ${outcome.traceId} of share.reverseSync, read back from the OTLP receiver:\n${renderTrace(spans).join("\n")}\n`);
  const services = new Set(spans.map(({ service }) => service));
  const row: Expectation = { what: "one trace through every service", gateway: "-", states: "", result: [...services].sort().join(", "), held: services.size >= 6 };
  return [...outcome.rows, row];
}

/** Spans are exported in batches: the trace is complete when its last hop, the reply to RocketMQ, is there and no more come. */
async function traced(sink: Awaited<ReturnType<typeof startOtlpSink>>, traceId: string): Promise<readonly (typeof sink.spans)[number][]> {
  const deadline = Date.now() + TRACE_WAIT_MS;
  let before = -1;
  for (;;) {
    const spans = sink.spans.filter((span) => span.traceId === traceId);
    const replied = spans.some(({ name }) => name === `send ${defaultTopics("").csgReply}`);
    if ((replied && spans.length === before) || Date.now() > deadline) return spans;
    before = spans.length;
    await new Promise((resolveWait) => setTimeout(resolveWait, 300));
  }
}
