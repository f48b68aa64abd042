import type { JetStreamManager, StreamConfig, StreamInfo } from "@nats-io/jetstream";
import { HawserError } from "@hawser/errors";

const STREAM_NAME_IN_USE = 10_058;
const NOT_FOUND = 10_059;

/**
 * Creates a stream unless it is there, and compares what the server made of it with what was
 * asked: an old server ignores fields it does not know. Sizes may differ on an existing stream,
 * an operator may have changed them.
 */
export async function ensureStream(jsm: JetStreamManager, config: Partial<StreamConfig> & { name: string }): Promise<StreamInfo> {
  const info = await existing(jsm, config.name) ?? await create(jsm, config);
  const actual = info.config as unknown as Record<string, unknown>;
  for (const key of ["retention", "discard", "storage", "allow_atomic", "allow_direct", "max_msgs_per_subject"] as const) {
    const wanted = (config as Record<string, unknown>)[key];
    if (wanted === undefined || actual[key] === wanted || (wanted === false && actual[key] === undefined)) continue;
    const line = `stream ${config.name}: ${key} is ${String(actual[key])}, ${String(wanted)} is needed`;
    throw new HawserError("HAWSER_E_STREAM_MISMATCH", line);
  }
  return info;
}

async function existing(jsm: JetStreamManager, name: string): Promise<StreamInfo | null> {
  try {
    return await jsm.streams.info(name);
  } catch (error) {
    if (codeOf(error) === NOT_FOUND) return null;
    throw error;
  }
}

async function create(jsm: JetStreamManager, config: Partial<StreamConfig> & { name: string }): Promise<StreamInfo> {
  try {
    return await jsm.streams.add(config);
  } catch (error) {
    if (codeOf(error) !== STREAM_NAME_IN_USE) throw error;
    return jsm.streams.info(config.name);
  }
}

function codeOf(error: unknown): number {
  return typeof error === "object" && error !== null && "code" in error ? Number(error.code) : 0;
}
