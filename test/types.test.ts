/** Types are stripped when the code runs and never checked by it: this is where they are (docs/adr/0009). */
import { spawnSync } from "node:child_process";
import { resolve } from "node:path";
import { expect, it } from "vitest";

it("the whole tree passes the type checker", { timeout: 120_000 }, () => {
  const root = resolve(import.meta.dirname, "..");
  const { status, stdout } = spawnSync(process.execPath, [resolve(root, "node_modules/typescript/bin/tsc"), "--noEmit"], { cwd: root, encoding: "utf8" });
  expect({ status, stdout }).toEqual({ status: 0, stdout: "" });
});
