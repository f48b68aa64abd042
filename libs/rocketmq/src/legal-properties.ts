/**
 * What the proxy would refuse in a message that is not its body: reserved property keys, control
 * characters, more than its number or size of properties, `|` in a tag, blank keys, message groups
 * of 64 bytes or more. A refused message could not be sent at all, so what is not legal is changed
 * or left out, and counted.
 */
import { createHash } from "node:crypto";
import { encodePropertyValue, hasControlCharacter, PROPERTIES_MAX, PROPERTIES_MAX_BYTES, propertyKeys, reservedPropertyKeys } from "@hawser/rules";

export interface LegalProperties {
  readonly properties: readonly (readonly [key: string, value: string])[];
  /** Left out: reserved or illegal key, repeated, beyond the limits. */
  readonly dropped: number;
  /** Values that cross percent-encoded; their keys are in `mqtt5-encoded`. */
  readonly encoded: number;
}

/** @returns the properties themselves when nothing has to change */
export function legalProperties(properties: readonly (readonly [key: string, value: string])[]): LegalProperties {
  if (areLegal(properties)) return { properties, dropped: 0, encoded: 0 };
  const last = new Map(properties);
  const result: [string, string][] = [];
  const encodedKeys: string[] = [];
  const listed = last.get(propertyKeys.encoded);
  if (listed !== undefined && listed !== "" && !hasControlCharacter(listed)) encodedKeys.push(listed);
  last.delete(propertyKeys.encoded);
  let encoded = 0;
  let sizeBytes = 0;
  for (const [key, value] of last) {
    if (!isLegalKey(key)) continue;
    const mustEncode = value === "" || hasControlCharacter(value);
    const sent = mustEncode ? encodePropertyValue(value) : value;
    const cost = Buffer.byteLength(key) + Buffer.byteLength(sent) + 2 + (mustEncode ? Buffer.byteLength(encodeURIComponent(key)) + 1 : 0);
    if (result.length + 1 >= PROPERTIES_MAX || sizeBytes + cost > PROPERTIES_MAX_BYTES - 512) continue;
    sizeBytes += cost;
    result.push([key, sent]);
    if (!mustEncode) continue;
    encoded++;
    encodedKeys.push(encodeURIComponent(key));
  }
  const dropped = properties.length - result.length - (listed === undefined ? 0 : 1);
  if (encodedKeys.length > 0) result.push([propertyKeys.encoded, encodedKeys.join(",")]);
  return { properties: result, dropped: Math.max(0, dropped), encoded };
}

function areLegal(properties: readonly (readonly [key: string, value: string])[]): boolean {
  if (properties.length > PROPERTIES_MAX) return false;
  let units = 0;
  for (const [key, value] of properties) {
    if (!isLegalKey(key) || value === "" || hasControlCharacter(value)) return false;
    units += key.length + value.length + 2;
  }
  // a UTF-16 unit is at most 3 bytes
  if (units * 3 > PROPERTIES_MAX_BYTES) return false;
  return properties.length < 2 || new Set(properties.map(([key]) => key)).size === properties.length;
}

function isLegalKey(key: string): boolean {
  return key !== "" && !reservedPropertyKeys.has(key) && !hasControlCharacter(key);
}

/** A tag as the proxy takes it; `|` separates tags in a filter. */
export function legalTag(tag: string): string {
  return /[|\u0000-\u001f\u007f-\u009f]/.test(tag) ? tag.replaceAll(/[|\u0000-\u001f\u007f-\u009f]/g, "_").trim() : tag.trim();
}

export function legalKeys(keys: readonly string[]): readonly string[] {
  return keys.every(isLegalMessageKey) ? keys : keys.filter(isLegalMessageKey);
}

function isLegalMessageKey(key: string): boolean {
  return key.trim() !== "" && !hasControlCharacter(key);
}

/** The message group as the proxy takes it: under 64 bytes, else 32 hexadecimal digits of its SHA-256. */
export function legalGroup(group: string): string {
  const fits = group.length < 64 && Buffer.byteLength(group) < 64 && !hasControlCharacter(group) && (group === "" || group.trim() !== "");
  return fits ? group : createHash("sha256").update(group).digest("hex").slice(0, 32);
}
