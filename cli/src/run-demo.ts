import { existsSync } from "node:fs";
import { join } from "node:path";
import { HawserError } from "@hawser/errors";

/** The demo is a program of its own, demo/run.ts, which exports runDemo(). */
export async function runDemo(): Promise<void> {
  const program = join(import.meta.dirname, "demo/run.ts");
  if (!existsSync(program)) throw new HawserError("HAWSER_E_START", "the demo is not part of this version");
  const demo = (await import(program)) as { runDemo(): Promise<void> };
  await demo.runDemo();
}
