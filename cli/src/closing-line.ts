export interface Results {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** The part of vitest's TestModule that is counted here. */
export interface TestFile {
  readonly children: { allTests(): Iterable<{ result(): { readonly state: string } }> };
  state(): string;
}

/** A file that cannot be run counts as one failure, and so does every error outside of a test. */
export function countResults(files: Iterable<TestFile>, unhandledErrors: number): Results {
  const results = { passed: 0, failed: unhandledErrors, skipped: 0 };
  for (const file of files) {
    let failedTests = 0;
    for (const test of file.children.allTests()) {
      const { state } = test.result();
      if (state === "passed") results.passed++;
      else if (state === "failed") failedTests++;
      else results.skipped++;
    }
    results.failed += failedTests;
    if (failedTests === 0 && file.state() === "failed") results.failed++;
  }
  return results;
}

export function closingLine({ passed, failed, skipped }: Results): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
}
