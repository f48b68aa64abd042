import type { JetStreamManager, StreamConfig, StreamInfo } from "@nats-io/jetstream";
import { HawserError } from "@hawser/errors";

type Policies = "retention" | "storage" | "discard";

/** A stream's configuration, with policies as the words NATS uses. */
export interface StreamSettings extends Partial<Omit<StreamConfig, "name" | Policies>> {
  readonly name: string;
  readonly retention?: `${StreamConfig["retention"]}`;
  readonly storage?: `${StreamConfig["storage"]}`;
  readonly discard?: `${StreamConfig["discard"]}`;
}

const STREAM_NAME_IN_USE = 10_058;
const NOT_FOUND = 10_059;

/** What must be as asked: an old server ignores fields it does not know. */
const CHECKED = [
  "retention",
  "discard",
  "storage",
  "allow_atomic",
  "allow_msg_ttl",
  "allow_direct",
  "deny_delete",
  "max_msgs_per_subject",
  "max_age",
  "duplicate_window",
  "max_bytes",
] as const;
/** What an existing stream is brought to without touching a message. */
const ADJUSTED = ["allow_atomic", "allow_msg_ttl", "duplicate_window", "max_bytes"] as const;

/**
 * Creates a stream unless it is there, brings settings that may change (its size) to what is asked,
 * and compares what the server made of it.
 * @throws HawserError HAWSER_E_STREAM_MISMATCH
 */
export async function ensureStream(jsm: JetStreamManager, config: StreamSettings): Promise<StreamInfo> {
  let info = (await existing(jsm, config.name)) ?? (await create(jsm, config));
  if (ADJUSTED.some((key) => differs(config, info, key))) {
    const changes = Object.fromEntries(ADJUSTED.filter((key) => differs(config, info, key)).map((key) => [key, config[key]]));
    info = await jsm.streams.update(config.name, changes as Partial<StreamConfig>);
  }
  for (const key of CHECKED) {
    if (!differs(config, info, key)) continue;
    throw mismatch(config.name, `${key} is ${String(info.config[key])}, ${String(config[key])} is needed`);
  }
  const missing = (config.subjects ?? []).filter((subject) => !info.config.subjects?.includes(subject));
  if (missing.length > 0) throw mismatch(config.name, `it lacks the subject ${missing.join(", ")}`);
  return info;
}

function differs(config: StreamSettings, { config: actual }: StreamInfo, key: (typeof CHECKED)[number]): boolean {
  const wanted = config[key];
  return wanted !== undefined && wanted !== (actual[key] ?? (typeof wanted === "boolean" ? false : 0));
}

function mismatch(name: string, what: string): HawserError {
  return new HawserError("HAWSER_E_STREAM_MISMATCH", `stream ${name}: ${what}`);
}

async function existing(jsm: JetStreamManager, name: string): Promise<StreamInfo | null> {
  try {
    return await jsm.streams.info(name);
  } catch (error) {
    if (codeOf(error) === NOT_FOUND) return null;
    throw error;
  }
}

async function create(jsm: JetStreamManager, config: StreamSettings): Promise<StreamInfo> {
  try {
    return await jsm.streams.add(config as Partial<StreamConfig> & { name: string });
  } catch (error) {
    if (codeOf(error) !== STREAM_NAME_IN_USE) throw error;
    return jsm.streams.info(config.name);
  }
}

function codeOf(error: unknown): number {
  return typeof error === "object" && error !== null && "code" in error ? Number(error.code) : 0;
}
