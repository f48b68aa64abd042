import type { TestModule } from "vitest/node";

export interface Results {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** A file that cannot be run counts as one failure, and so does every error outside of a test. */
export function countResults(modules: Iterable<TestModule>, unhandledErrors: number): Results {
  const results = { passed: 0, failed: unhandledErrors, skipped: 0 };
  for (const module of modules) {
    let failedTests = 0;
    for (const test of module.children.allTests()) {
      const { state } = test.result();
      if (state === "passed") results.passed++;
      else if (state === "failed") failedTests++;
      else results.skipped++;
    }
    results.failed += failedTests;
    if (failedTests === 0 && module.state() === "failed") results.failed++;
  }
  return results;
}

export function closingLine({ passed, failed, skipped }: Results): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
}
