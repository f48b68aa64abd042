/**
 * UTF-8 strings of MQTT: two bytes of length, then well-formed UTF-8 without surrogates and without
 * U+0000 [MQTT-1.5.4-1] [MQTT-1.5.4-2]; the same for 3.1.1 [MQTT-1.5.3-1] [MQTT-1.5.3-2].
 */
import { isUtf8 } from "node:buffer";

/** @returns null when the bytes are not a string MQTT allows */
export function decodeText(source: Buffer, start: number, end: number): string | null {
  for (let at = start; at < end; at++) {
    const byte = source[at]!;
    if (byte >= 0x80) return decodeWide(source, start, end);
    if (byte === 0) return null;
  }
  return source.toString("latin1", start, end);
}

function decodeWide(source: Buffer, start: number, end: number): string | null {
  const view = source.subarray(start, end);
  return isUtf8(view) && !view.includes(0) ? view.toString("utf8") : null;
}

export function isText(source: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at++) {
    const byte = source[at]!;
    if (byte === 0) return false;
    if (byte >= 0x80) return decodeWide(source, start, end) !== null;
  }
  return true;
}
