/**
 * The main job, step by step, as the control plane of a storage product would do it. Every step is
 * an expectation with what was seen; nothing here knows how Hawser does it.
 */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { newUuidV7 } from "@hawser/csg-protocol";
import type { OtlpSink } from "@hawser/testkit";
import type { StackState } from "@hawser/stack";
import type { CommandOrder, ControlPlane } from "./control-plane.ts";
import { fleet, type GatewayFleet } from "./gateway-fleet.ts";
import type { ReplyLine } from "./reply-line.ts";
import { renderStates, type Expectation } from "./report.ts";
import type { CommandView, RestClient } from "./rest-client.ts";
import { runPersistentApp } from "./persistent-app.ts";
import type { TopicReader } from "./app-messages.ts";

export interface ScenarioParts {
  readonly state: StackState;
  readonly control: ControlPlane;
  readonly gateways: GatewayFleet;
  readonly rest: RestClient;
  readonly sink: OtlpSink;
  readonly status: TopicReader;
  readonly presence: TopicReader;
  /** Objects in the bucket. */
  readonly objects: number;
  readonly say: (line: string) => void;
}

const FINAL_MS = 20_000;
const ONLINE_MS = 20_000;
const SHORT_QUEUE_MS = 1_500;
const SPAN_WAIT_MS = 5_000;
const [MQTT311, MQTT5, TLS] = fleet.map(({ device }) => device) as [string, string, string];
const FINAL_STATES = new Set(["SUCCEEDED", "FAILED", "REJECTED", "CANCELLED", "EXPIRED", "UNKNOWN"]);

export interface ScenarioOutcome {
  readonly rows: readonly Expectation[];
  /** Trace of the command that did most. */
  readonly traceId: string;
}

export async function runScenario(parts: ScenarioParts): Promise<ScenarioOutcome> {
  const rows: Expectation[] = [];
  const add = (what: string, gateway: string, result: string, held: boolean, states = ""): void => {
    rows.push({ what, gateway, result, held, states });
    parts.say(`${held ? "ok" : "NOT AS EXPECTED"}: ${what}: ${result}`);
  };
  const { control, gateways, rest } = parts;
  const view = (order: CommandOrder): Promise<CommandView | null> => finished(rest, order);
  const states = async (order: CommandOrder): Promise<string> => renderStates((await view(order))?.history ?? []);

  parts.say("three gateways connect (MQTT 3.1.1, MQTT 5, TLS)");
  for (const { device } of fleet) await online(rest, device);

  const query = ordered({ gateway: MQTT311, method: "gateway.info" });
  control.send(query);
  const info = await control.final(query.id, FINAL_MS);
  add("gateway.info, with reply", MQTT311, told(info), info.code === "OK", await states(query));

  const sync = ordered({ gateway: MQTT5, method: "share.reverseSync", params: { share: "main" }, reply: "progress" });
  control.send(sync);
  const synced = await control.final(sync.id, FINAL_MS);
  const progress = control.repliesTo(sync.id).filter(({ kind }) => kind === "progress").length;
  const indexBytes = sizeBelow(gateways.shareDir(MQTT5));
  const listed = objectsOf(synced.body);
  add(
    "share.reverseSync, progress",
    MQTT5,
    `${listed} of ${parts.objects} objects listed, ${progress} progress replies, index ${indexBytes} bytes`,
    synced.code === "OK" && listed === parts.objects && progress > 0 && indexBytes > 0,
    await states(sync),
  );

  const quiet = ordered({ gateway: TLS, method: "gateway.ping", params: { payload: "anybody there" }, reply: "none" });
  control.send(quiet);
  const quietView = await view(quiet);
  add("gateway.ping, noreply", TLS, `${quietView?.state ?? "lost"}, ${control.repliesTo(quiet.id).length} replies`, quietView !== null && !["EXPIRED", "FAILED", "UNKNOWN"].includes(quietView.state) && control.repliesTo(quiet.id).length === 0, renderStates(quietView?.history ?? []));

  const bad = ordered({ gateway: MQTT311, method: "share.reverseSync", params: { share: 7 } });
  control.send(bad);
  const refused = await control.final(bad.id, FINAL_MS);
  add("share.reverseSync, bad parameters", MQTT311, told(refused), refused.code === "INVALID_ARGUMENT");

  const nobody = ordered({ gateway: "gw-nobody", method: "gateway.info" });
  control.send(nobody);
  const unknown = await control.final(nobody.id, FINAL_MS);
  add("gateway.info, unknown gateway", "gw-nobody", told(unknown), unknown.code === "NOT_FOUND");

  const twice = ordered({ gateway: MQTT311, method: "share.reverseSync", params: { share: "main" } });
  control.send(twice);
  control.send(twice);
  await control.final(twice.id, FINAL_MS);

  parts.say(`${TLS} goes offline`);
  await gateways.stop(TLS);
  await offline(rest, TLS);
  const short = ordered({ gateway: TLS, method: "gateway.ping", queueTtlMs: SHORT_QUEUE_MS });
  const long = ordered({ gateway: TLS, method: "gateway.ping", queueTtlMs: 600_000 });
  control.send(short);
  control.send(long);
  const expired = await control.final(short.id, FINAL_MS);
  const expiredView = await view(short);
  parts.say(`${TLS} returns`);
  gateways.start(fleet[2]!);
  const late = await control.final(long.id, FINAL_MS);
  await runsOf(parts.sink, long.id, 1);
  const shortRuns = await runsOf(parts.sink, short.id, 0);
  add(`gateway.ping, offline, queue ${SHORT_QUEUE_MS / 1000} s`, TLS, `${told(expired)}, ran ${shortRuns} times`, expiredView?.state === "EXPIRED" && shortRuns === 0, await states(short));
  add("gateway.ping, offline, queue 10 min", TLS, told(late), late.code === "OK", await states(long));
  const twiceRuns = await runsOf(parts.sink, twice.id, 1);
  add("share.reverseSync, same id twice", MQTT311, `ran ${twiceRuns} time${twiceRuns === 1 ? "" : "s"}`, twiceRuns === 1, await states(twice));

  const senders = await until(() => new Set(parts.status.messages.map((message) => message.properties["clientId"] ?? "")), (seen) => seen.size >= fleet.length);
  add("uplink status of the gateways", "all", `${parts.status.messages.length} messages of ${senders.size} gateways in RocketMQ`, senders.size >= fleet.length);
  const events = await until(() => new Set(parts.presence.messages.map(({ tag }) => tag)), (tags) => tags.has("connect") && tags.has("tcpclean"));
  add("presence of the gateways", "all", `${parts.presence.messages.length} events: ${[...events].sort().join(", ")}`, events.has("connect") && events.has("tcpclean"));

  parts.say("an app subscribes, leaves and returns");
  const app = await runPersistentApp(parts.state);
  add("app, persistent session", "-", `${app.found} of ${app.published} messages found, session present ${app.sessionPresent}`, app.found === app.published && app.sessionPresent && app.inOrder);
  add("problems the application saw", "-", control.problems.length === 0 ? "none" : control.problems.join("; "), control.problems.length === 0);
  return { rows, traceId: control.traceIds.get(sync.id) ?? "" };
}

function ordered(order: Omit<CommandOrder, "id">): CommandOrder {
  return { ...order, id: newUuidV7() };
}

function told(reply: ReplyLine): string {
  return `${reply.code}${reply.reason ? ` / ${reply.reason}` : ""} (${reply.origin}, ${reply.status})`;
}

function objectsOf(body: unknown): number {
  const value = (body as { objects?: unknown } | null)?.objects;
  return typeof value === "number" ? value : -1;
}

function sizeBelow(directory: string): number {
  let sizeBytes = 0;
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) sizeBytes += statSync(join(entry.parentPath, entry.name)).size;
  }
  return sizeBytes;
}

/** The command once it is final, or as it is when that takes too long. */
async function finished(rest: RestClient, order: CommandOrder): Promise<CommandView | null> {
  return untilAsync(() => rest.command(order.gateway, order.id), (view) => view !== null && FINAL_STATES.has(view.state), SPAN_WAIT_MS);
}

async function online(rest: RestClient, device: string): Promise<void> {
  const state = await untilAsync(() => rest.gateway(device), (view) => linkOf(view) === "online", ONLINE_MS);
  if (linkOf(state) !== "online") throw new Error(`${device} is not online after ${ONLINE_MS / 1000} s`);
}

async function offline(rest: RestClient, device: string): Promise<void> {
  await untilAsync(() => rest.gateway(device), (view) => linkOf(view) !== "online", ONLINE_MS);
}

function linkOf(view: { state?: string; link?: { state: string } } | null): string {
  return view?.link?.state ?? view?.state ?? "";
}

/** How often a gateway ran a command, by the spans the gateways export. */
function runsOf(sink: OtlpSink, id: string, expected: number): Promise<number> {
  const runs = (): number => sink.spans.filter((span) => span.name.startsWith("gateway.run") && span.attributes["csg.command.id"] === id).length;
  return until(runs, (count) => count >= expected && expected > 0);
}

function until<T>(look: () => T, enough: (value: T) => boolean): Promise<T> {
  return untilAsync(() => Promise.resolve(look()), enough, SPAN_WAIT_MS);
}

async function untilAsync<T>(look: () => Promise<T>, enough: (value: T) => boolean, timeoutMs: number): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const value = await look();
    if (enough(value) || Date.now() > deadline) return value;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
