import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { newUuidV7 } from "@hawser/csg-protocol";

function life(directory: string, crashAt: string, ids: readonly string[]): Promise<NodeJS.Signals | number | null> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [join(import.meta.dirname, "crash-child.ts"), directory, crashAt, ...ids], { stdio: "inherit" });
    child.on("exit", (code, signal) => resolve(signal ?? code));
  });
}

const lines = async (directory: string, file: string): Promise<string[]> =>
  (await readFile(join(directory, file), "utf8").catch(() => "")).split("\n").filter((line) => line !== "");

describe("kill -9 around the journal", () => {
  it.each([
    ["before-started", 1, "OK"],
    ["after-started", 0, "INTERRUPTED_BY_CRASH"],
    ["before-done", 1, "INTERRUPTED_BY_CRASH"],
    ["after-done", 1, "OK"],
  ])("at %s: the effect happened %i time(s) in two lives, and the answer is %s", async (crashAt, effects, answer) => {
    const directory = await mkdtemp(join(tmpdir(), "hawser-crash-"));
    try {
      const id = newUuidV7();
      expect(await life(directory, crashAt, [id])).toBe("SIGKILL");
      expect(await life(directory, "never", [id])).toBe(0);
      expect(await lines(directory, "effects")).toEqual(Array.from({ length: effects }, () => id));
      expect((await lines(directory, "results")).at(-1)).toBe(`${id} ${answer}`);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  });
});
