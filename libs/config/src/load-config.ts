/**
 * Settings come from, first wins: the environment, the YAML file (HAWSER_CONFIG or the caller's),
 * the schema's defaults. A name that is not a setting is refused, so that a typing error never
 * silently leaves a default in force. All problems of a load are told in one line.
 */
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { errorLine, HawserError } from "@hawser/errors";
import { parse as parseYaml } from "yaml";
import { coerceText, leafProblem, unknownSetting } from "./parse-setting.ts";
import { type Config, configSchema, crossChecks } from "./schema.ts";
import { findSetting, settingKeys } from "./setting-keys.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** HAWSER_ names that belong to the launcher, the tests and the tools, not to a service. */
export const otherNames: readonly string[] = [
  "HAWSER_CACHE",
  "HAWSER_CONFIG",
  "HAWSER_DATA",
  "HAWSER_EXIT_WITH_PARENT",
  "HAWSER_HOME",
  "HAWSER_JAEGER",
  "HAWSER_NODE",
  "HAWSER_SEED",
];

/** Kubernetes gives every pod variables for the Services of its namespace: HAWSER_INGRESS_SERVICE_HOST ... */
function isServiceLink(name: string, value: string): boolean {
  return /_SERVICE_(HOST|PORT)(_[A-Z0-9_]+)?$|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$/.test(name) || (name.endsWith("_PORT") && /^(tcp|udp|sctp):\/\//.test(value));
}

export interface LoadOptions {
  /** Path of a YAML file; HAWSER_CONFIG otherwise. */
  readonly file?: string;
  /** Of this machine, for tests. */
  readonly hostname?: string;
}

/**
 * @param env usually process.env
 * @throws HawserError HAWSER_E_CONFIG_*, one line that names every bad key and what is allowed
 */
export function loadConfig(env: Environment, options: LoadOptions = {}): Config {
  const problems: { code: "HAWSER_E_CONFIG_UNKNOWN_KEY" | "HAWSER_E_CONFIG_BAD_VALUE"; line: string }[] = [];
  const file = options.file ?? env["HAWSER_CONFIG"];
  const input: Record<string, Record<string, unknown>> = {};
  const put = (key: string, value: unknown): void => {
    const [area, name] = key.split(".") as [string, string];
    (input[area] ??= {})[name] = value;
  };

  for (const [key, value] of file ? flatten(readFile(file), file) : []) {
    const setting = findSetting(key);
    if (!setting || setting.key !== key) {
      problems.push({ code: "HAWSER_E_CONFIG_UNKNOWN_KEY", line: `${file}: ${unknownSetting(key, false)}` });
      continue;
    }
    const plain = Array.isArray(value) && setting.type === "string" ? value.join(",") : value;
    const problem = leafProblem(setting, plain);
    if (problem) problems.push({ code: "HAWSER_E_CONFIG_BAD_VALUE", line: `${file}: ${problem(key, value)}` });
    else put(key, plain);
  }

  const known = new Map(settingKeys().map((setting) => [setting.env, setting]));
  for (const [name, written] of Object.entries(env)) {
    if (!name.startsWith("HAWSER_") || written === undefined || otherNames.includes(name)) continue;
    const setting = known.get(name);
    if (!setting) {
      if (!isServiceLink(name, written)) problems.push({ code: "HAWSER_E_CONFIG_UNKNOWN_KEY", line: unknownSetting(name, true) });
      continue;
    }
    if (written === "" && setting.type !== "string") continue;
    const value = coerceText(setting, written);
    const problem = leafProblem(setting, value);
    if (problem) problems.push({ code: "HAWSER_E_CONFIG_BAD_VALUE", line: problem(name, written) });
    else put(setting.key, value);
  }
  refuse(problems);

  for (const area of Object.keys(configSchema.shape)) input[area] ??= {};
  const config = configSchema.parse(input);
  if (config.member.name === "") config.member.name = memberNameOf(env["POD_NAME"] || options.hostname || hostname());
  refuse(crossChecks(config).map((line) => ({ code: "HAWSER_E_CONFIG_BAD_VALUE", line })));
  return deepFreeze(config);
}

function refuse(problems: readonly { code: "HAWSER_E_CONFIG_UNKNOWN_KEY" | "HAWSER_E_CONFIG_BAD_VALUE"; line: string }[]): void {
  if (problems.length === 0) return;
  throw new HawserError(problems[0]!.code, `configuration: ${problems.map((problem) => problem.line).join("; ")}`);
}

function readFile(file: string): unknown {
  try {
    return parseYaml(readFileSync(file, "utf8"));
  } catch (cause) {
    throw new HawserError("HAWSER_E_CONFIG_FILE", `configuration file ${file}: ${errorLine(cause)}`, { cause });
  }
}

/** `{mqtt: {tcpPort: 1}}` as `[["mqtt.tcpPort", 1]]`. */
function flatten(document: unknown, file: string): [key: string, value: unknown][] {
  if (document === null || document === undefined) return [];
  const areas = asMapping(document, `${file}`);
  return Object.entries(areas).flatMap(([area, settings]) =>
    settings === null ? [] : Object.entries(asMapping(settings, `${file}: ${area}`)).map(([name, value]): [string, unknown] => [`${area}.${name}`, value]),
  );
}

function asMapping(value: unknown, where: string): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new HawserError("HAWSER_E_CONFIG_BAD_VALUE", `configuration: ${where} must hold areas and their settings, as in "mqtt: {tcpPort: 1883}"`);
}

function memberNameOf(text: string): string {
  return text.replaceAll(/[^-_a-zA-Z0-9]/g, "-").slice(0, 100);
}

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null) {
    for (const inner of Object.values(value)) deepFreeze(inner);
    Object.freeze(value);
  }
  return value;
}

/** The settings without secrets, for a log line or `status`. */
export function redactedConfig(config: Config): Record<string, Record<string, unknown>> {
  const copy = structuredClone(config) as unknown as Record<string, Record<string, unknown>>;
  for (const { key, secret } of settingKeys()) {
    const [area, name] = key.split(".") as [string, string];
    if (secret && copy[area]![name] !== "") copy[area]![name] = "***";
  }
  return copy;
}
