import { resolve } from "node:path";
import { natsServerBinary, progress, rocketMqBinary } from "@hawser/stack";
import { startVitest } from "vitest/node";
import { closingLine, countResults } from "./closing-line.ts";
import { selectTests } from "./test-lanes.ts";

const root = resolve(import.meta.dirname, "../..");

/** Exit code 0 when all passed, 1 when not, 2 when there is nothing of that name, 130 when interrupted. */
export async function runTests(what: string | undefined): Promise<void> {
  const selection = selectTests(what, root);
  if ("problem" in selection) {
    process.stderr.write(`hawser: ${selection.problem}\n`);
    process.exit(2);
  }
  await natsServerBinary();
  await rocketMqBinary();
  progress(`running ${selection.files.length} test files`);
  process.chdir(root);
  const vitest = await startVitest("test", [], { root, watch: false, run: true, include: [...selection.lane.include], exclude: [...selection.lane.exclude, "**/node_modules/**"] });
  const interrupt = (): void => {
    void vitest.exit(true);
    process.exitCode = 130;
  };
  process.on("SIGINT", interrupt).on("SIGTERM", interrupt);
  const results = countResults(vitest.state.getTestModules(), vitest.state.getUnhandledErrors().length);
  await vitest.close();
  process.stdout.write(`${closingLine(results)}\n`);
  process.exit(results.failed > 0 ? 1 : 0);
}
