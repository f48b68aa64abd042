/**
 * A method of gateways: its name, lane, whether running it twice is harmless (part of the method,
 * never of the call), and the schema of its parameters. Both ends check against the same schema;
 * hello announces its hash, so that each side sees what the other was built with.
 */
import canonicalize from "canonicalize";
import { createHash } from "node:crypto";
import { z } from "zod";

/** How many commands of a lane run at once: the platform sends no more, the gateway runs no more. */
export const lanes = { query: 4, config: 1, task: 2 } as const;
export type Lane = keyof typeof lanes;
export const laneNames = Object.keys(lanes) as Lane[];
export const laneSchema = z.enum(laneNames as [Lane, ...Lane[]]);

export interface Method<P = unknown> {
  readonly name: string;
  readonly lane: Lane;
  readonly idempotent: boolean;
  readonly params: z.ZodType<P>;
  /** Commands with the same key run one after the other. */
  readonly mutexKey: ((params: P) => string) | null;
  /** First 16 hex digits of SHA-256 over the canonical JSON (RFC 8785) of the JSON Schema of `params`. */
  readonly schemaHash: string;
}

/** @param params a strict object schema: unknown members of params are refused. */
export function defineMethod<P>(method: {
  name: string;
  lane: Lane;
  idempotent: boolean;
  params: z.ZodType<P>;
  mutexKey?: (params: P) => string;
}): Method<P> {
  return {
    name: method.name,
    lane: method.lane,
    idempotent: method.idempotent,
    params: method.params,
    mutexKey: method.mutexKey ?? null,
    schemaHash: schemaHashOf(z.toJSONSchema(method.params)),
  };
}

export function schemaHashOf(jsonSchema: object): string {
  return createHash("sha256").update(canonicalJson(jsonSchema)).digest("hex").slice(0, 16);
}

/** RFC 8785: equal values have equal text. */
export function canonicalJson(value: unknown): string {
  return canonicalize(value) ?? "null";
}

/** One line that says which member is wrong and why. */
export function describeIssues(error: z.ZodError): string {
  return error.issues.map((issue) => `${issue.path.join(".") || "params"}: ${issue.message}`).join("; ").slice(0, 1_000);
}
