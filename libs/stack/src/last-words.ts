import type { SupervisedProcess } from "./supervised-process.ts";

/** What a log ends with, without the frame of JSON. */
export function lastWords(supervised: SupervisedProcess): string {
  const line = supervised.tail().split("\n").at(-1) ?? "";
  try {
    const parsed = JSON.parse(line) as { msg?: string; err?: { message?: string } };
    return parsed.err?.message ?? parsed.msg ?? line;
  } catch {
    return line || "it wrote nothing";
  }
}
