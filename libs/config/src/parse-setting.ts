import { HawserError } from "@hawser/errors";
import { leafSchema } from "./schema.ts";
import { findSetting, type SettingKey, settingKeys } from "./setting-keys.ts";

/** The value of a setting as written in the environment or after `=`; null when it is not one. */
export function coerceText(setting: SettingKey, written: string): string | number | boolean | null {
  const value = written.trim();
  switch (setting.type) {
    case "string":
      return written;
    case "integer":
      return /^-?\d{1,15}$/.test(value) ? Number(value) : null;
    case "number":
      return /^-?(\d+(\.\d+)?|\.\d+)(e-?\d{1,3})?$/i.test(value) ? Number(value) : null;
    case "boolean":
      return value === "true" || value === "1" ? true : value === "false" || value === "0" ? false : null;
  }
}

/** "x is not a setting", with the name that was probably meant and what its area allows. */
export function unknownSetting(name: string, spelledAsEnv: boolean): string {
  const spelled = (setting: SettingKey): string => (spelledAsEnv ? setting.env : setting.key);
  const nearest = settingKeys()
    .map((setting) => ({ setting, distance: editDistance(squeeze(name), squeeze(spelled(setting))) }))
    .reduce((best, each) => (each.distance < best.distance ? each : best));
  if (nearest.distance <= 3) return `${name} is not a setting; did you mean ${spelled(nearest.setting)}?`;
  const area = name.replace(/^HAWSER_/, "").toLowerCase().split(/[._]/)[0] ?? "";
  const inArea = settingKeys().filter((setting) => setting.key.startsWith(`${area}.`));
  const allowed = inArea.length > 0 ? inArea.map(spelled) : [...new Set(settingKeys().map((setting) => `${spelled(setting).split(/[._]/).slice(0, spelledAsEnv ? 2 : 1).join("_")}${spelledAsEnv ? "_*" : ".*"}`))];
  return `${name} is not a setting; allowed: ${allowed.join(", ")}`;
}

function squeeze(name: string): string {
  return name.replaceAll(/[._-]/g, "").toLowerCase();
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) next.push(Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length]!;
}

export interface ParsedSetting {
  readonly key: string;
  readonly env: string;
  /** As text, for an environment. */
  readonly value: string;
}

/** What `--set KEY=VALUE` takes; KEY is a setting's key or its environment variable. @throws HawserError */
export function parseSetting(assignment: string): ParsedSetting {
  const at = assignment.indexOf("=");
  if (at <= 0) throw new HawserError("HAWSER_E_CONFIG_BAD_VALUE", `"${assignment}" is not of the form KEY=VALUE`);
  const name = assignment.slice(0, at).trim();
  const setting = findSetting(name);
  if (!setting) throw new HawserError("HAWSER_E_CONFIG_UNKNOWN_KEY", unknownSetting(name, name.startsWith("HAWSER_")));
  const value = assignment.slice(at + 1);
  checkOne(setting, value);
  return { key: setting.key, env: setting.env, value };
}

function checkOne(setting: SettingKey, value: string): void {
  const problem = leafProblem(setting, coerceText(setting, value));
  if (problem) throw new HawserError("HAWSER_E_CONFIG_BAD_VALUE", problem(setting.key, value));
}

type Problem = (name: string, written: unknown) => string;

/** @param value what coerceText made, or what the file holds */
export function leafProblem(setting: SettingKey, value: unknown): Problem | null {
  if (value !== null && leafParses(setting, value)) return null;
  return (name, written) => `${name}: ${setting.secret ? "the value" : JSON.stringify(written)} is not allowed; allowed: ${setting.allowed}`;
}

function leafParses(setting: SettingKey, value: unknown): boolean {
  const [area, name] = setting.key.split(".") as [string, string];
  return leafSchema(area, name).safeParse(value).success;
}
