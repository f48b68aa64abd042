/**
 * `node examples/control-plane/src/main.ts --endpoints host:port`: commands as JSON lines on stdin
 * (command-line.ts), replies as JSON lines on stdout; what is not a reply has an `event` member.
 * Ends when stdin has ended and no reply is awaited any more, or at SIGTERM.
 */
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { attributes, failSpan, spanName, SpanKind, startRootSpan, startTelemetry, stopTelemetry, traceparentOf } from "@hawser/telemetry";
import { type CommandLine, commandMessage, parseCommandLine, replyLine } from "./command-line.ts";
import { RocketMqApplication } from "./rocketmq-application.ts";

const { values } = parseArgs({
  options: {
    endpoints: { type: "string" },
    topic: { type: "string", default: "csg-cmd" },
    "reply-topic": { type: "string", default: "csg-cmd-reply" },
    group: { type: "string", default: "app-reply" },
    otlp: { type: "string", default: "" },
    "access-key": { type: "string", default: "" },
    "secret-key": { type: "string", default: "" },
    /** After stdin has ended, how long a missing final reply is waited for. */
    "linger-ms": { type: "string", default: "60000" },
  },
});

const awaited = new Set<string>();

function print(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

async function main(): Promise<void> {
  if (values.endpoints === undefined) throw new Error("--endpoints host:port of the RocketMQ proxy is needed");
  await startTelemetry({ service: "control-plane", member: `control-plane-${process.pid}`, otlpEndpoint: values.otlp, sampleRatio: 1 });
  const application = new RocketMqApplication({
    endpoints: values.endpoints,
    commandTopic: values.topic,
    replyTopic: values["reply-topic"],
    replyGroup: values.group,
    accessKey: values["access-key"],
    secretKey: values["secret-key"],
    onReply: (properties, body) => {
      const reply = replyLine(properties, body, Date.now());
      if (reply.kind === "final") awaited.delete(reply.id);
      print(reply);
    },
    onProblem: (problem) => print({ event: "problem", problem }),
  });
  await application.start();
  print({ event: "ready" });
  const stop = async (code: number): Promise<never> => {
    await application.stop();
    await stopTelemetry();
    process.exit(code);
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => {
      stop(0).catch(fail);
    });
  }
  for await (const line of createInterface({ input: process.stdin })) {
    if (line.trim() !== "") await take(application, line);
  }
  const deadline = Date.now() + Number(values["linger-ms"]);
  while (awaited.size > 0 && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 100));
  await stop(awaited.size > 0 ? 1 : 0);
}

async function take(application: RocketMqApplication, text: string): Promise<void> {
  let line: CommandLine;
  try {
    line = parseCommandLine(text);
  } catch (error) {
    print({ event: "bad-line", line: text, problem: error instanceof Error ? error.message : String(error) });
    return;
  }
  const span = startRootSpan(spanName("send {rocketmqTopic}", { rocketmqTopic: values.topic }), SpanKind.PRODUCER, {
    [attributes.gatewayId]: line.gateway,
    [attributes.method]: line.method,
  });
  const message = commandMessage(line, values.topic, values["reply-topic"], traceparentOf(span) ?? "");
  span.setAttribute(attributes.conversationId, message.id);
  if (line.reply !== "none") awaited.add(message.id);
  try {
    await application.send(message);
    span.end();
    print({ event: "sent", id: message.id, gateway: line.gateway, method: line.method, reply: line.reply, traceparent: traceparentOf(span), at: Date.now() });
  } catch (error) {
    awaited.delete(message.id);
    failSpan(span, "send");
    print({ event: "not-sent", id: message.id, problem: error instanceof Error ? error.message : String(error) });
  }
}

function fail(error: unknown): never {
  process.stderr.write(`control-plane: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}

main().catch(fail);
