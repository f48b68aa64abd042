import { randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import type { StackCredentials } from "./stack-state.ts";
import { writeAtomically } from "./write-atomically.ts";

/** The same as long as the directory lives, so that what was configured with them goes on working. */
export function keptCredentials(path: string): StackCredentials {
  if (existsSync(path)) return JSON.parse(readFileSync(path, "utf8")) as StackCredentials;
  const credentials = { accessKeyId: `AK${randomBytes(9).toString("hex")}`, accessKeySecret: randomBytes(24).toString("base64url"), restToken: randomBytes(24).toString("base64url") };
  writeAtomically(path, `${JSON.stringify(credentials)}\n`, 0o600);
  return credentials;
}
