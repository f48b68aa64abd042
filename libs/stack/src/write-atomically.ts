import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

/** A reader sees the old text or the new, never a part. */
export function writeAtomically(path: string, text: string, mode: number = 0o644): void {
  mkdirSync(dirname(path), { recursive: true });
  const making = `${path}.${process.pid}`;
  writeFileSync(making, text, { mode });
  renameSync(making, path);
}
