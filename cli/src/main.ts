/** The command `hawser`. Errors are one line on stderr and exit code 1; wrong use is exit code 2. */
import { errorLine } from "@hawser/errors";
import { CommanderError } from "commander";
import { buildProgram } from "./program.ts";

process.on("unhandledRejection", fail);
try {
  await buildProgram().parseAsync();
} catch (error) {
  fail(error);
}

function fail(error: unknown): void {
  if (error instanceof CommanderError) process.exit(error.exitCode === 0 ? 0 : 2); // commander has said why
  process.stderr.write(`hawser: ${errorLine(error)}\n`);
  process.exit(1);
}
