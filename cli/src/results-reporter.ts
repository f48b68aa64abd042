/** A reporter of vitest's: leaves the counts for run-tests.ts, which prints the closing line. */
import { writeFileSync } from "node:fs";
import { countResults, type TestFile } from "./closing-line.ts";

export default class ResultsReporter {
  onTestRunEnd(files: readonly TestFile[], unhandledErrors: readonly unknown[]): void {
    const file = process.env["TEST_RESULTS_FILE"];
    if (file) writeFileSync(file, JSON.stringify(countResults(files, unhandledErrors.length)));
  }
}
