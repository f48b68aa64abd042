/**
 * A stored instance, KV `hawser-catalog`, key `instance.<id>`: JSON {format, version, instance};
 * `instance` is null once it is removed, so that its version goes on counting if it comes back.
 */
import { CompiledInstance } from "./compiled-instance.ts";
import { type InstanceRecord, recordSchema, ruleKinds } from "./schema.ts";

const FORMAT = 1;
const PREFIX = "instance.";

export interface StoredInstance {
  readonly version: number;
  readonly instance: InstanceRecord | null;
}

export function instanceKey(id: string): string {
  return PREFIX + id;
}

/** @returns null when the key is none of ours */
export function instanceOfKey(key: string): string | null {
  return key.startsWith(PREFIX) ? key.slice(PREFIX.length) : null;
}

export function encodeStored(stored: StoredInstance): Buffer {
  return Buffer.from(JSON.stringify({ format: FORMAT, version: stored.version, instance: stored.instance }));
}

/** Unknown keys and unknown kinds of rules are left out: a newer member may have written them. @throws Error when it cannot be used */
export function decodeStored(value: Uint8Array): StoredInstance {
  const stored = JSON.parse(Buffer.from(value).toString()) as { format?: unknown; version?: unknown; instance?: unknown };
  if (stored.format !== FORMAT) throw new Error(`format ${String(stored.format)} is not known`);
  if (!Number.isSafeInteger(stored.version)) throw new Error("no version");
  const version = stored.version as number;
  if (stored.instance === null) return { version, instance: null };
  const known = stored.instance as { rules?: { kind?: unknown }[] };
  const rules = Array.isArray(known?.rules) ? known.rules.filter((rule) => ruleKinds.includes(String(rule?.kind))) : known?.rules;
  return { version, instance: recordSchema.parse({ ...known, rules }) };
}

export function compileInstance(instance: InstanceRecord, version = 1): CompiledInstance {
  return new CompiledInstance(structuredClone(instance), version);
}
