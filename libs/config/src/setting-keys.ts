/** The schema as a flat table: key, environment variable, what is allowed, default, description. */
import { z } from "zod";
import { configSchema } from "./schema.ts";

export interface SettingKey {
  /** `mqtt.maxKeepAliveSeconds` */
  readonly key: string;
  /** `HAWSER_MQTT_MAX_KEEP_ALIVE_SECONDS` */
  readonly env: string;
  readonly type: "integer" | "number" | "string" | "boolean";
  /** What is allowed, in words. */
  readonly allowed: string;
  readonly default: string | number | boolean;
  readonly description: string;
  readonly secret: boolean;
}

interface LeafSchema {
  type: SettingKey["type"];
  default: string | number | boolean;
  description: string;
  minimum?: number;
  maximum?: number;
  enum?: string[];
  form?: string;
  secret?: boolean;
}

function describeAllowed(leaf: LeafSchema): string {
  if (leaf.enum) return `one of ${leaf.enum.join(", ")}`;
  if (leaf.form) return leaf.form;
  switch (leaf.type) {
    case "integer":
      return `a whole number from ${leaf.minimum} to ${leaf.maximum}`;
    case "number":
      return `a number from ${leaf.minimum} to ${leaf.maximum}`;
    case "boolean":
      return "true or false";
    case "string":
      return "text";
  }
}

export function envOfKey(key: string): string {
  return `HAWSER_${key.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).replaceAll(".", "_").toUpperCase()}`;
}

function collectKeys(): readonly SettingKey[] {
  const root = z.toJSONSchema(configSchema, { io: "input" }) as unknown as { properties: Record<string, { properties: Record<string, LeafSchema> }> };
  return Object.entries(root.properties).flatMap(([area, { properties }]) =>
    Object.entries(properties).map(([name, leaf]): SettingKey => {
      const key = `${area}.${name}`;
      return {
        key,
        env: envOfKey(key),
        type: leaf.type,
        allowed: describeAllowed(leaf),
        default: leaf.default,
        description: leaf.description,
        secret: leaf.secret === true,
      };
    }),
  );
}

let keys: readonly SettingKey[] | undefined;

/** All settings, in the schema's order. */
export function settingKeys(): readonly SettingKey[] {
  return (keys ??= collectKeys());
}

/** By key or by environment variable. */
export function findSetting(name: string): SettingKey | undefined {
  return settingKeys().find((setting) => setting.key === name || setting.env === name);
}

/** JSON Schema (2020-12) of the settings as a file holds them: what charts and editors check with. */
export function configJsonSchema(): Record<string, unknown> {
  return z.toJSONSchema(configSchema, { io: "input" }) as Record<string, unknown>;
}
