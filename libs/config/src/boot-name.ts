import { randomBytes } from "node:crypto";

/**
 * What a member is called on the bus: `<name>_<boot>`, where boot is the start time in base 36 and
 * four random characters. Another boot is another member, so nothing meant for the old one reaches
 * the new one.
 */
export function bootName(name: string, nowMs: number = Date.now(), random: Uint8Array = randomBytes(4)): string {
  const suffix = Array.from(random.subarray(0, 4), (byte) => (byte % 36).toString(36)).join("");
  return `${name}_${nowMs.toString(36)}${suffix}`;
}
