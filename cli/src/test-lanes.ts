/** Which test files belong to which lane: one table for `hawser test` and for vitest.config.ts. */
import { globSync } from "node:fs";

const besideTheCode = ["libs/*/test/**/*.test.ts", "services/*/test/**/*.test.ts", "examples/*/test/**/*.test.ts", "cli/test/**/*.test.ts"];
/** Run only when they are asked for. */
export const longLanes = ["chaos", "fuzz", "soak", "compose", "kubernetes"] as const;

export interface Lane {
  readonly include: readonly string[];
  readonly exclude: readonly string[];
}

const lanes: Readonly<Record<string, Lane>> = {
  // the short tests of chaos are everyday ones too
  everyday: { include: [...besideTheCode, "test/**/*.test.ts"], exclude: longLanes.map((lane) => (lane === "chaos" ? "test/chaos/long/**" : `test/${lane}/**`)) },
  unit: { include: besideTheCode, exclude: [] },
  e2e: { include: ["test/e2e/**/*.test.ts"], exclude: [] },
  ...Object.fromEntries(longLanes.map((lane) => [lane, { include: [`test/${lane}/**/*.test.ts`], exclude: [] }])),
};

export const laneNames: readonly string[] = Object.keys(lanes);

export function laneOf(name: string): Lane | undefined {
  return Object.hasOwn(lanes, name) ? lanes[name] : undefined;
}

export type Selection =
  | { readonly lane: Lane; readonly everyday: boolean; readonly files: readonly string[] }
  /** One line. */
  | { readonly problem: string };

/**
 * @param what a lane, or a part of a test file's path within the repository (of the long lanes too)
 * @param root of the repository
 */
export function selectTests(what: string | undefined, root: string): Selection {
  const lane = laneOf(what ?? "everyday");
  if (lane) {
    const files = filesOf(lane, root);
    return files.length > 0 ? { lane, everyday: lane === lanes["everyday"], files } : { problem: `lane ${what} has no tests yet` };
  }
  const all: Lane = { include: laneOf("everyday")!.include, exclude: [] };
  const files = filesOf(all, root).filter((path) => path.includes(what!));
  if (files.length === 0) return { problem: `${what} is no lane (${laneNames.join(", ")}) and no part of a test file's path` };
  return { lane: { include: files, exclude: [] }, everyday: false, files };
}

function filesOf(lane: Lane, root: string): string[] {
  return globSync([...lane.include], { cwd: root, exclude: [...lane.exclude, "**/node_modules/**"] }).sort();
}
