/**
 * A gateway program's side of Hawser: connects, says hello, takes commands, runs the handlers it
 * was given, and answers. The rules are in gateway-machine.ts; this is the shell around it.
 */
import { randomUUID } from "node:crypto";
import { type CommandError, commandError, type DownlinkMessage, type Method, newUuidV7, parseDownlink, type UplinkMessage } from "@hawser/csg-protocol";
import { attributes, failSpan, type Span, spanContextBytes, SpanKind, spanName, spanNames, startEdgeSpan, startSpan, traceparentOf } from "@hawser/telemetry";
import { CommandFailed } from "./command-failed.ts";
import { GatewayMachine } from "./gateway-machine.ts";
import type { GatewayOutput, Outcome } from "./gateway-messages.ts";
import { JournalFile } from "./journal-file.ts";
import { type CrashPoint, JournaledRunner } from "./journaled-runner.ts";
import type { MethodHandler } from "./method-handler.ts";
import { type LinkOptions, MqttLink } from "./mqtt-link.ts";
import { uplinkPublish } from "./uplink-publish.ts";

export interface GatewayOptions extends LinkOptions {
  /** Holds the journal. One program per directory. */
  readonly dataDir: string;
  readonly methods: readonly MethodHandler[];
  /** Parent topics of the instance. Default csgUp and csgDown. */
  readonly csgUp?: string;
  readonly csgDown?: string;
  readonly agent: { readonly name: string; readonly version: string };
  /** A task that reports nothing for this long is aborted. Default 60 s. */
  readonly stepTimeoutMs?: number;
  readonly log?: (level: "info" | "warn" | "error", message: string, details: Record<string, unknown>) => void;
  /** The journal cannot be written any more: by default the error is thrown, which ends the program. */
  readonly onFatal?: (error: unknown) => void;
  /** For tests. */
  readonly crashPoint?: (point: CrashPoint, id: string) => void;
}

interface Run {
  readonly abort: AbortController;
  readonly span: Span | null;
  readonly method: string;
}

const TICK_MS = 200;

export class GatewayClient {
  /** The Device ID. */
  readonly gateway: string;
  readonly #options: GatewayOptions;
  readonly #handlers: ReadonlyMap<string, MethodHandler>;
  readonly #runs = new Map<string, Run>();
  /** Trace of commands whose result is still to be told. */
  readonly #traces = new Map<string, { readonly context: Buffer; readonly method: string }>();
  readonly #downTopic: string;
  #journal: JournalFile | null = null;
  #machine: GatewayMachine | null = null;
  #runner: JournaledRunner | null = null;
  #link: MqttLink | null = null;
  #ticker: NodeJS.Timeout | null = null;

  constructor(options: GatewayOptions) {
    const cut = options.clientId.indexOf("@@@");
    this.gateway = cut < 0 ? options.clientId : options.clientId.slice(cut + 3);
    this.#options = options;
    this.#handlers = new Map(options.methods.map((entry) => [entry.method.name, entry]));
    this.#downTopic = `${options.csgDown ?? "csgDown"}/p2p/${options.clientId}`;
  }

  /** Connected and welcomed: commands run. */
  get ready(): boolean {
    return this.#machine?.ready ?? false;
  }

  get connected(): boolean {
    return this.#link?.connected ?? false;
  }

  get runningCommands(): number {
    return this.#runs.size;
  }

  /** Opens the journal and begins to connect; does not wait for the connection. @throws JournalDamaged */
  async start(): Promise<void> {
    const options = this.#options;
    const journal = await JournalFile.open(options.dataDir, randomUUID());
    this.#journal = journal;
    const methods: ReadonlyMap<string, Method> = new Map([...this.#handlers].map(([name, entry]) => [name, entry.method]));
    const machine = new GatewayMachine(journal.state, {
      bootId: newUuidV7(),
      agent: options.agent,
      methods,
      ...(options.stepTimeoutMs === undefined ? {} : { stepTimeoutMs: options.stepTimeoutMs }),
    });
    this.#machine = machine;
    const runner = new JournaledRunner({
      machine,
      journal,
      now: steadyNow,
      perform: (output) => this.#perform(output),
      onFatal: options.onFatal ?? rethrow,
      ...(options.crashPoint ? { crashPoint: options.crashPoint } : {}),
    });
    this.#runner = runner;
    runner.tell({ kind: "boot" });
    await runner.settled();
    this.#link = new MqttLink(options, {
      onUp: () => {
        this.#log("info", "connected", { url: options.url });
        runner.tell({ kind: "connected" });
      },
      onDown: (reason) => {
        this.#log("warn", "not connected", { reason });
        runner.tell({ kind: "disconnected" });
      },
      onMessage: (topic, payload, traceparent) => this.#message(topic, payload, traceparent),
    });
    this.#link.start();
    this.#ticker = setInterval(() => runner.tell({ kind: "tick" }), TICK_MS);
  }

  /** A message of the program's own, such as a status. @returns false when there is no connection: nothing is kept for later */
  publish(topic: string, payload: Buffer | string, qos: 0 | 1 = 1): boolean {
    return this.#link?.publish(topic, Buffer.from(payload), { qos }) ?? false;
  }

  /** Aborts what runs and closes. What has not ended is UNKNOWN after the next start, unless it is idempotent. */
  async stop(): Promise<void> {
    if (this.#ticker) clearInterval(this.#ticker);
    for (const run of this.#runs.values()) run.abort.abort(new Error("the gateway program stops"));
    await this.#link?.stop();
    await this.#runner?.settled();
    await this.#journal?.close();
    this.#journal = null;
  }

  #log(level: "info" | "warn" | "error", message: string, details: Record<string, unknown>): void {
    this.#options.log?.(level, message, details);
  }

  #message(topic: string, payload: Buffer, traceparent: string): void {
    if (topic !== this.#downTopic) return;
    const parsed = parseDownlink(payload);
    if (parsed.ok) this.#runner?.tell({ kind: "down", message: continuing(parsed.value, traceparent) });
    else this.#log("warn", "a message down makes no sense", { problem: parsed.problem });
  }

  #perform(output: GatewayOutput): void {
    switch (output.kind) {
      case "send":
        this.#send(output.message, output.qos);
        return;
      case "run":
        this.#run(output);
        return;
      case "abort":
        this.#runs.get(output.id)?.abort.abort(new CommandFailed("CANCELLED", output.reason, output.reason));
        return;
    }
  }

  #send(message: UplinkMessage, qos: 0 | 1): void {
    const { csgUp = "csgUp", protocolVersion = 4 } = this.#options;
    const span = message.k === "res" ? this.#replySpan(message.id) : null;
    const traceparent = traceparentOf(span);
    const traced = traceparent === null ? message : ({ ...message, traceparent } as UplinkMessage);
    const { topic, payload, options } = uplinkPublish(traced, qos, csgUp, this.gateway, protocolVersion);
    const sent = this.#link?.publish(topic, payload, options, () => span?.end());
    if (!sent) failSpan(span, "not-connected");
  }

  #replySpan(id: string): Span | null {
    const trace = this.#traces.get(id);
    if (!trace) return null;
    this.#traces.delete(id);
    return startSpan(spanName(spanNames.gatewayReply, { method: trace.method }), SpanKind.PRODUCER, trace.context, { [attributes.commandId]: id });
  }

  #run({ id, method, params, attempt, traceparent }: GatewayOutput & { kind: "run" }): void {
    const about = { [attributes.gatewayId]: this.gateway, [attributes.commandId]: id, [attributes.attempt]: attempt };
    const received = traceparent === "" ? null : startEdgeSpan(spanName(spanNames.gatewayReceive, { method }), SpanKind.CONSUMER, traceparent, about);
    received?.end();
    const span = startSpan(spanName(spanNames.gatewayRun, { method }), SpanKind.INTERNAL, spanContextBytes(received), about);
    const abort = new AbortController();
    this.#runs.set(id, { abort, span, method });
    const running = async (): Promise<unknown> =>
      this.#handlers.get(method)!.run(params, {
        id,
        attempt,
        signal: abort.signal,
        progress: (progress) => this.#runner?.tell({ kind: "progress", id, progress }),
        traceparent: traceparentOf(span) ?? "",
      });
    running().then(
      (result) => this.#ended(id, { result: result ?? null }),
      (error: unknown) => this.#ended(id, { error: errorOf(error) }),
    );
  }

  #ended(id: string, outcome: Outcome): void {
    const run = this.#runs.get(id);
    this.#runs.delete(id);
    const span = run?.span ?? null;
    const context = spanContextBytes(span);
    if (context && run) this.#traces.set(id, { context, method: run.method });
    if ("error" in outcome) failSpan(span, outcome.error.reason, outcome.error.message);
    else span?.end();
    this.#runner?.tell({ kind: "finished", id, outcome });
  }
}

/** The context next to the message is the hop before; the one within it, which 3.1.1 has alone, is where the command was sent. */
function continuing(message: DownlinkMessage, traceparent: string): DownlinkMessage {
  const sameTrace = "traceparent" in message && message.traceparent?.slice(3, 35) === traceparent.slice(3, 35);
  return sameTrace ? ({ ...message, traceparent } as DownlinkMessage) : message;
}

/** Milliseconds since the epoch that never jump: the wall clock at the start, then the monotonic one. */
function steadyNow(): number {
  return Math.round(performance.timeOrigin + performance.now());
}

function errorOf(error: unknown): CommandError {
  if (error instanceof CommandFailed) return error.error;
  return commandError("HANDLER_FAILED", error instanceof Error ? error.message : String(error));
}

function rethrow(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}
