/** A command as one JSON line in, a reply as one JSON line out. */
import { messageGroupOf, newUuidV7, replyProperties, requestProperties, responseRequiredOf, tagOf } from "@hawser/csg-protocol";
import { z } from "zod";

export const commandLineSchema = z.strictObject({
  /** Device ID. */
  gateway: z.string().min(1),
  /** Another Group ID than the instance's gateway group. */
  group: z.string().optional(),
  method: z.string().min(1),
  params: z.unknown().optional(),
  /** Sent as it stands instead of `params`: for tests of broken bodies. */
  rawBody: z.string().optional(),
  reply: z.enum(["none", "final", "progress"]).default("final"),
  queueTtlMs: z.number().optional(),
  deadlineMs: z.number().optional(),
  /** A UUID of the caller's, so that a repeated line is the same command. */
  id: z.string().optional(),
  /** More user properties, such as `dnm_*`. */
  properties: z.record(z.string(), z.string()).optional(),
});
export type CommandLine = z.output<typeof commandLineSchema>;

export interface CommandMessage {
  readonly id: string;
  readonly topic: string;
  readonly tag: string;
  readonly keys: string[];
  readonly messageGroup: string;
  readonly properties: Map<string, string>;
  readonly body: Buffer;
}

/** @throws ZodError, SyntaxError when the line is no command */
export function parseCommandLine(line: string): CommandLine {
  return commandLineSchema.parse(JSON.parse(line));
}

/** @param traceparent empty = not traced */
export function commandMessage(line: CommandLine, topic: string, replyTopic: string, traceparent: string): CommandMessage {
  const id = line.id ?? newUuidV7();
  const properties = new Map<string, string>(Object.entries(line.properties ?? {}));
  const set = (name: string, value: string | number | undefined): void => {
    if (value !== undefined && value !== "") properties.set(name, String(value));
  };
  set(requestProperties.gateway, line.gateway);
  set(requestProperties.group, line.group);
  set(requestProperties.method, line.method);
  set(requestProperties.id, id);
  set(requestProperties.responseRequired, responseRequiredOf[line.reply]);
  set(requestProperties.contentType, "application/json");
  set(requestProperties.replyTopic, replyTopic);
  set(requestProperties.queueTtlMs, line.queueTtlMs);
  set(requestProperties.deadlineMs, line.deadlineMs);
  set(requestProperties.principal, "control-plane");
  set(requestProperties.traceparent, traceparent);
  return {
    id,
    topic,
    tag: tagOf(line.method),
    keys: [id, line.gateway].filter((key) => /^[\x21-\x7e]+$/.test(key)),
    messageGroup: messageGroupOf(line.gateway),
    properties,
    body: Buffer.from(line.rawBody ?? JSON.stringify(line.params ?? {})),
  };
}

export interface ReplyLine {
  readonly id: string;
  readonly gateway: string;
  readonly kind: string;
  readonly n: number;
  readonly status: number;
  readonly code: string;
  readonly reason: string | null;
  readonly origin: string;
  readonly late: boolean;
  readonly contentType: string;
  readonly body: unknown;
  readonly traceparent: string | null;
  readonly at: number;
}

export function replyLine(properties: ReadonlyMap<string, string>, body: Buffer, at: number): ReplyLine {
  const get = (name: string): string => properties.get(name) ?? "";
  let json: unknown;
  try {
    json = JSON.parse(body.toString());
  } catch {
    json = body.toString();
  }
  return {
    id: get(replyProperties.id),
    gateway: get(replyProperties.gateway),
    kind: get(replyProperties.kind),
    n: Number(get(replyProperties.sequence) || "0"),
    status: Number(get(replyProperties.status)),
    code: get(replyProperties.code),
    reason: get(replyProperties.reason) || null,
    origin: get(replyProperties.origin),
    late: get(replyProperties.late) === "true",
    contentType: get(replyProperties.contentType),
    body: json,
    traceparent: get(replyProperties.traceparent) || null,
    at,
  };
}
