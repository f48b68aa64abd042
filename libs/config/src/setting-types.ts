/**
 * The kinds of leaves a setting can be. All of them can be written as text (environment, `--set`)
 * and as YAML; the description is what docs/configuration.md says.
 */
import { z } from "zod";

/** A whole number. */
export function count(value: number, min: number, max: number, description: string) {
  return z.int().min(min).max(max).default(value).describe(description);
}

/** A number with a fraction. */
export function fraction(value: number, min: number, max: number, description: string) {
  return z.number().min(min).max(max).default(value).describe(description);
}

/** A TCP port to listen on; where `off` is true, 0 means that nothing listens. */
export function port(value: number, description: string) {
  return count(value, 0, 65_535, description);
}

export function text(value: string, description: string) {
  return z.string().default(value).describe(description);
}

/** Text of a given form; `form` says it in words for the error and the documentation. */
export function textOf(value: string, pattern: RegExp, form: string, description: string) {
  return z.string().regex(pattern).default(value).describe(description).meta({ form });
}

/** Never logged, never shown: see redactedConfig. */
export function secret(description: string) {
  return z.string().default("").describe(description).meta({ secret: true });
}

export function choice<const T extends readonly [string, ...string[]]>(value: T[number], choices: T, description: string) {
  return z.enum(choices).default(value as never).describe(description);
}

/** Texts separated by commas; in YAML also a list. */
export function list(description: string) {
  return z
    .string()
    .default("")
    .describe(description)
    .meta({ form: "texts separated by commas" })
    .transform((joined) =>
      joined
        .split(",")
        .map((item) => item.trim())
        .filter((item) => item !== ""),
    );
}
