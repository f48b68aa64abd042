/**
 * The envelope between csg-agent and a gateway: UTF-8 JSON with JSON-RPC 2.0 member names and
 * control members, in the payload of MQTT. Down on `{csgDown}/p2p/{Client ID}`; up on
 * `{csgUp}/{gateway}/r` (answers), `/p` (progress), `/s` (reported), `/h` (hello). The body is
 * authoritative on both protocol versions; unknown members are ignored, so that either end may be
 * newer.
 *
 * Beyond the published set a request has two optional members: `at`, the sender's clock when this
 * attempt left, so that a gateway which knows the offset from welcome notices a request that was
 * held up on its way; and `prev`, the highest `seq` of the config lane the sender knows the gateway
 * has taken: a gateway below it has lost part of its journal (SEQ_GAP).
 */
import { z } from "zod";
import { commandCodes, type CommandCode, commandErrorSchema } from "./command-error.ts";
import { laneSchema } from "./method.ts";

const version = z.literal(1);
const id = z.string().min(1).max(64);
const traceparent = z.string().max(64).optional();
const ids = z.array(id).max(1_000);
const count = z.number().int().min(0);
const laneCounts = z.object({ query: count.default(0), config: count.default(0), task: count.default(0) });
const sections = z.record(z.string(), z.number().int());

export const replyModes = ["none", "final", "progress"] as const;
export type ReplyMode = (typeof replyModes)[number];

/** Down: do this. */
export const requestSchema = z.object({
  v: version,
  k: z.literal("req"),
  id,
  method: z.string().min(1).max(128),
  params: z.unknown(),
  reply: z.enum(replyModes).default("final"),
  /** Milliseconds left when it arrives. */
  ttl: z.number(),
  att: count,
  lane: laneSchema,
  seq: count,
  at: z.number().optional(),
  prev: count.optional(),
  ack: ids.optional(),
  traceparent,
});
export type RequestMessage = z.output<typeof requestSchema>;

const cancelSchema = z.object({ v: version, k: z.literal("cancel"), id, ack: ids.optional(), traceparent });
/** Down: what do you know of this id? Not knowing it, the gateway will never run it. */
const querySchema = z.object({ v: version, k: z.literal("query"), id, ack: ids.optional(), traceparent });
const ackSchema = z.object({ v: version, k: z.literal("ack"), ids });
const welcomeSchema = z.object({
  v: version,
  k: z.literal("welcome"),
  serverTime: z.number(),
  resend: ids,
  ack: ids,
  desired: sections.default({}),
});
const desiredSchema = z.object({
  v: version,
  k: z.literal("desired"),
  section: z.string(),
  version: z.number().int(),
  value: z.unknown(),
});
export type CancelMessage = z.output<typeof cancelSchema>;
export type QueryMessage = z.output<typeof querySchema>;
export type AckMessage = z.output<typeof ackSchema>;
export type WelcomeMessage = z.output<typeof welcomeSchema>;

export const downlinkSchema = z.discriminatedUnion("k", [
  requestSchema,
  cancelSchema,
  querySchema,
  ackSchema,
  welcomeSchema,
  desiredSchema,
]);
export type DownlinkMessage = z.output<typeof downlinkSchema>;

/** Up: it is in the journal, it runs. */
const acceptedSchema = z.object({ v: version, k: z.literal("acc"), id, att: count.default(0), traceparent });
export const progressSchema = z.object({
  v: version,
  k: z.literal("prog"),
  id,
  att: count.default(0),
  n: count,
  pct: z.number().min(0).max(100).optional(),
  stage: z.string().max(64).optional(),
  msg: z.string().max(1_024).optional(),
  counters: z.record(z.string(), z.number()).optional(),
  traceparent,
});
/** Up: the end, exactly one of `result` and `error`. Answers `req`, `cancel` and `query`. */
const responseSchema = z.object({
  v: version,
  k: z.literal("res"),
  id,
  att: count.default(0),
  result: z.unknown().optional(),
  error: commandErrorSchema.optional(),
  traceparent,
});
export const journalMemberSchema = z.object({
  id,
  state: z.enum(["started", "done"]),
  code: z.enum(commandCodes as [CommandCode, ...CommandCode[]]).optional(),
});
const helloSchema = z.object({
  v: version,
  k: z.literal("hello"),
  bootId: z.string().min(1).max(64),
  installId: z.string().min(1).max(64),
  agent: z.object({ name: z.string().max(64), version: z.string().max(64) }),
  proto: z.array(z.number().int()).min(1).max(16),
  methods: z.record(z.string(), z.string()),
  high: laneCounts,
  journal: z.array(journalMemberSchema).max(1_000),
  more: z.boolean().default(false),
  versions: sections.default({}),
});
const reportedSchema = z.object({
  v: version,
  k: z.literal("reported"),
  section: z.string(),
  observedVersion: z.number().int(),
  value: z.unknown(),
  conditions: z
    .array(z.object({ type: z.string(), status: z.string(), reason: z.string().optional(), message: z.string().optional() }))
    .default([]),
});
export type AcceptedMessage = z.output<typeof acceptedSchema>;
export type ProgressMessage = z.output<typeof progressSchema>;
export type ResponseMessage = z.output<typeof responseSchema>;
export type HelloMessage = z.output<typeof helloSchema>;
export type JournalMember = z.output<typeof journalMemberSchema>;

export const uplinkSchema = z.discriminatedUnion("k", [
  acceptedSchema,
  progressSchema,
  responseSchema,
  helloSchema,
  reportedSchema,
]);
export type UplinkMessage = z.output<typeof uplinkSchema>;

/** Last level of the uplink topic, by kind. */
export const uplinkLevel = { acc: "r", res: "r", prog: "p", reported: "s", hello: "h" } as const;

export type Parsed<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly problem: string };

export function parseDownlink(payload: Uint8Array): Parsed<DownlinkMessage> {
  return parseMessage(payload, downlinkSchema);
}

export function parseUplink(payload: Uint8Array): Parsed<UplinkMessage> {
  return parseMessage(payload, uplinkSchema);
}

export function encodeMessage(message: DownlinkMessage | UplinkMessage): Buffer {
  return Buffer.from(JSON.stringify(message));
}

function parseMessage<T>(payload: Uint8Array, schema: z.ZodType<T>): Parsed<T> {
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString());
  } catch {
    return { ok: false, problem: "not JSON" };
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return { ok: true, value: parsed.data };
  const issue = parsed.error.issues[0];
  return { ok: false, problem: issue ? `${issue.path.join(".") || "envelope"}: ${issue.message}` : "not an envelope" };
}
