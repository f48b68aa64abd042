/**
 * `<GroupID>@@@<DeviceID>`: who a client is. At most 64 characters in all, each part of letters,
 * digits, `-` and `_`; a setting may allow more printable characters, but never those with a
 * meaning in topics (`+ # /`, which in a Client ID would widen rules that name it) and never
 * white space or invisible ones.
 */
export const CLIENT_ID_SEPARATOR = "@@@";
export const CLIENT_ID_MAX_LENGTH = 64;

export type ClientIdProblem = "empty" | "too-long" | "no-separator" | "empty-group" | "empty-device" | "character";

export interface ParsedClientId {
  readonly ok: true;
  readonly group: string;
  readonly device: string;
}
export interface RefusedClientId {
  readonly ok: false;
  readonly problem: ClientIdProblem;
}

export interface ClientIdOptions {
  /** Printable characters allowed besides 0-9 a-z A-Z - _ */
  readonly extraCharacters?: string;
  readonly maxLength?: number;
}

const PART = /^[-_0-9a-zA-Z]+$/;
const NEVER = /[+#/\p{C}\p{Z}]/u;

export function parseClientId(text: string, options: ClientIdOptions = {}): ParsedClientId | RefusedClientId {
  if (text === "") return { ok: false, problem: "empty" };
  if (text.length > (options.maxLength ?? CLIENT_ID_MAX_LENGTH)) return { ok: false, problem: "too-long" };
  const at = text.indexOf(CLIENT_ID_SEPARATOR);
  if (at < 0) return { ok: false, problem: "no-separator" };
  const group = text.slice(0, at);
  const device = text.slice(at + CLIENT_ID_SEPARATOR.length);
  if (group === "") return { ok: false, problem: "empty-group" };
  if (device === "") return { ok: false, problem: "empty-device" };
  const extra = options.extraCharacters ?? "";
  if (!allowedPart(group, extra) || !allowedPart(device, extra)) return { ok: false, problem: "character" };
  return { ok: true, group, device };
}

function allowedPart(part: string, extra: string): boolean {
  if (PART.test(part)) return true;
  if (extra === "" || NEVER.test(part)) return false;
  for (const char of part) if (!PART.test(char) && !extra.includes(char)) return false;
  return true;
}

/** The plain profile's rule: any Client ID that is valid text [MQTT-3.1.3-4], not empty. */
export function checkPlainClientId(text: string): ClientIdProblem | null {
  if (text === "") return "empty";
  if (Buffer.byteLength(text) > 255) return "too-long";
  return text.includes("\0") || !text.isWellFormed() ? "character" : null;
}

/** @throws RangeError when a part holds the separator: such an id could not be read back */
export function formatClientId(group: string, device: string): string {
  if (group.includes("@") || device.includes(CLIENT_ID_SEPARATOR)) throw new RangeError(`"${group}" and "${device}" make no Client ID`);
  return `${group}${CLIENT_ID_SEPARATOR}${device}`;
}
