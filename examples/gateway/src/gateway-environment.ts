/** The settings of the reference gateway: GATEWAY_* variables of the environment. */
import { z } from "zod";

const positive = (fallback: number): z.ZodType<number> => z.coerce.number().int().min(0).default(fallback);

const schema = z.object({
  GATEWAY_URL: z.string().regex(/^(mqtts?|wss?):\/\//, "mqtt://, mqtts://, ws:// or wss://"),
  GATEWAY_DEVICE_ID: z.string().regex(/^[-_0-9A-Za-z]{1,40}$/, "1 to 40 of letters, digits, - and _"),
  GATEWAY_GROUP: z.string().default("GID_gateway"),
  GATEWAY_INSTANCE: z.string().default("default"),
  GATEWAY_ACCESS_KEY_ID: z.string().default(""),
  GATEWAY_ACCESS_KEY_SECRET: z.string().default(""),
  GATEWAY_PROTOCOL_VERSION: z.enum(["4", "5"]).default("4"),
  GATEWAY_CA_FILE: z.string().default(""),
  GATEWAY_KEEP_ALIVE_SECONDS: positive(30),
  /** The journal. One program per directory. */
  GATEWAY_DATA_DIR: z.string().min(1),
  /** Holds one directory per share. */
  GATEWAY_SHARE_DIR: z.string().min(1),
  /** Shares that are made at start, separated by commas. */
  GATEWAY_SHARES: z.string().default("main"),
  GATEWAY_S3_ENDPOINT: z.string().default(""),
  GATEWAY_S3_BUCKET: z.string().default(""),
  GATEWAY_S3_REGION: z.string().default("us-east-1"),
  GATEWAY_S3_ACCESS_KEY_ID: z.string().default(""),
  GATEWAY_S3_SECRET_ACCESS_KEY: z.string().default(""),
  /** Objects of one listing. */
  GATEWAY_S3_PAGE_OBJECTS: positive(1_000),
  /** Pause between two listings: a gentle gateway, or a slow one for tests. */
  GATEWAY_S3_PAGE_PAUSE_MS: positive(0),
  GATEWAY_CSG_UP: z.string().default("csgUp"),
  GATEWAY_CSG_DOWN: z.string().default("csgDown"),
  /** Parent topic of status messages; empty = none are sent. */
  GATEWAY_CSG_STATUS: z.string().default("csgStatus"),
  GATEWAY_STATUS_EVERY_SECONDS: positive(10),
  /** Base URL of an OTLP/HTTP receiver; empty = no traces. */
  GATEWAY_OTLP_ENDPOINT: z.string().default(""),
  /** Tests: the program kills itself there (before-started, after-started, before-done, after-done). */
  GATEWAY_CRASH_AT: z.enum(["", "before-started", "after-started", "before-done", "after-done"]).default(""),
});

export type GatewayEnvironment = z.output<typeof schema>;

/** @throws Error with one line that names every bad variable */
export function readEnvironment(env: Readonly<Record<string, string | undefined>>): GatewayEnvironment {
  const known = new Set(Object.keys(schema.shape));
  const unknown = Object.keys(env).filter((name) => name.startsWith("GATEWAY_") && !known.has(name));
  if (unknown.length > 0) throw new Error(`${unknown.join(", ")}: not a setting of the gateway`);
  const parsed = schema.safeParse(env);
  if (parsed.success) return parsed.data;
  throw new Error(parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`).join("; "));
}
