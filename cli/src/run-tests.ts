import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { guardChild, natsServerBinary, progress, rocketMqBinary } from "@hawser/stack";
import { closingLine, type Results } from "./closing-line.ts";
import { selectTests, type Selection } from "./test-lanes.ts";

const root = resolve(import.meta.dirname, "../..");
/** After a first Ctrl-C vitest has this long to end. */
const INTERRUPT_PATIENCE_MS = 5000;

/** Exit code 0 when all passed, 1 when not, 2 when there is nothing of that name, 128 + signal when interrupted. */
export async function runTests(what: string | undefined): Promise<void> {
  const selection = selectTests(what, root);
  if ("problem" in selection) {
    process.stderr.write(`hawser: ${selection.problem}\n`);
    process.exit(2);
  }
  await natsServerBinary();
  await rocketMqBinary();
  progress(selection.files.length === 1 ? "running 1 test file" : `running ${selection.files.length} test files`);
  const outcome = await runVitest(selection);
  const results = outcome.results ?? { passed: 0, failed: 1, skipped: 0 }; // it did not come to its end
  process.stdout.write(`${closingLine(results)}\n`);
  process.exit(outcome.signal ? 128 + constants.signals[outcome.signal] : results.failed > 0 || outcome.code !== 0 ? 1 : 0);
}

interface Outcome {
  readonly code: number | null;
  /** That interrupted us. */
  readonly signal: NodeJS.Signals | null;
  readonly results: Results | null;
}

/** In a process of its own, which dies with this one. */
async function runVitest(selection: Extract<Selection, { lane: unknown }>): Promise<Outcome> {
  const directory = mkdtempSync(join(tmpdir(), "hawser-test-results-"));
  const file = join(directory, "results.json");
  const files = selection.everyday ? [] : selection.files;
  const args = [join(root, "node_modules/vitest/vitest.mjs"), "run", "--reporter=default", `--reporter=${join(import.meta.dirname, "results-reporter.ts")}`, ...files];
  const child = spawn(process.execPath, args, { cwd: root, detached: true, stdio: ["ignore", "inherit", "inherit"], env: { ...process.env, TEST_RESULTS_FILE: file } });
  guardChild(child);
  let signal: NodeJS.Signals | null = null;
  for (const each of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(each, () => {
      if (signal) killGroup(child.pid);
      signal ??= each;
      child.kill("SIGINT");
      setTimeout(() => killGroup(child.pid), INTERRUPT_PATIENCE_MS).unref();
    });
  }
  const code = await new Promise<number | null>((done, failed) => child.once("error", failed).once("exit", (exitCode) => done(exitCode)));
  killGroup(child.pid); // workers that vitest has left
  const results = readResults(file);
  rmSync(directory, { recursive: true, force: true });
  return { code, signal, results };
}

function killGroup(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(-pid, "SIGKILL");
  } catch {
    // nobody is left
  }
}

function readResults(file: string): Results | null {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as Results;
  } catch {
    return null;
  }
}
