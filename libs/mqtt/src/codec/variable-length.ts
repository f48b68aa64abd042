/** Variable byte integers: remaining length, property length, Subscription Identifier (MQTT 5, 1.5.5). */

export const VARIABLE_LENGTH_MAX = 268_435_455;

/** @param value 0..268,435,455 */
export function variableLengthBytes(value: number): 1 | 2 | 3 | 4 {
  return value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x20_0000 ? 3 : 4;
}

/** @returns the offset behind it */
export function writeVariableLength(target: Buffer, at: number, value: number): number {
  if (value > VARIABLE_LENGTH_MAX) throw new RangeError(`${value} does not fit in a variable byte integer`);
  while (value >= 0x80) {
    target[at++] = (value & 0x7f) | 0x80;
    value >>>= 7;
  }
  target[at++] = value;
  return at;
}

/**
 * @returns value and encoded size as `value * 8 + size`, or -1 when it is cut off, longer than four
 * bytes or not in its shortest form [MQTT-1.5.5-1]. One number, so that the hot path allocates nothing.
 */
export function readVariableLength(source: Buffer, at: number, end: number): number {
  let value = 0;
  let unit = 1;
  for (let size = 1; size <= 4; size++) {
    if (at >= end) return -1;
    const byte = source[at++]!;
    value += (byte & 0x7f) * unit;
    if (byte < 0x80) return byte === 0 && size > 1 ? -1 : value * 8 + size;
    unit *= 0x80;
  }
  return -1;
}
