import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { closingLine, countResults } from "../src/closing-line.ts";
import { selectTests } from "../src/test-lanes.ts";

const main = resolve(import.meta.dirname, "../src/main.ts");
const dir = mkdtempSync(join(tmpdir(), "hawser-cli-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function hawser(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((done) => {
    execFile(process.execPath, ["--disable-warning=ExperimentalWarning", main, ...args], (error, stdout, stderr) => done({ code: error ? Number(error.code) : 0, stdout, stderr }));
  });
}

describe("the command line", () => {
  it.each([
    [["up", "--set", "mqtt.maxKeepAliveSecond=5"], 1, /^hawser: mqtt\.maxKeepAliveSecond is not a setting; did you mean mqtt\.maxKeepAliveSeconds\?\n$/],
    [["up", "--set", "mqtt.maxKeepAliveSeconds=long"], 1, /^hawser: mqtt\.maxKeepAliveSeconds: "long" is not allowed; allowed: a whole number from 1 to 65535\n$/],
    [["up", "--set", "health.port=1"], 1, /^hawser: health\.port cannot be set here: use --base-port\n$/],
    [["up", "--rocketmq", "maybe"], 1, /^hawser: --rocketmq maybe is not allowed; allowed: real, off, or host:port/],
    [["up", "--router", "two"], 2, /^error: option '--router <n>' argument 'two' is invalid/],
    [["fly"], 2, /^error: unknown command 'fly'\n$/],
    [["apply"], 2, /^error: required option '-f, --file <file>' not specified\n$/],
    [["apply", "-f", "missing.yaml"], 1, /^hawser: missing\.yaml: ENOENT/],
    [["test", "no-such-thing"], 2, /^hawser: no-such-thing is no lane \(everyday, unit, e2e, .*\) and no part of a test file's path\n$/],
    [["bench", "nothing"], 2, /^hawser: there is no benchmark nothing; there are: /],
  ])("says in one line what is wrong with %s", async (args, code, stderr) => {
    const data = args[0] === "up" ? ["--data", join(dir, "up")] : [];
    const result = await hawser(...args, ...data);
    expect(result.stderr).toMatch(stderr);
    expect(result.code).toBe(code);
  });

  it("knows when nothing runs", async () => {
    expect(await hawser("down", "--data", dir)).toMatchObject({ code: 0, stderr: `hawser: no stack runs in ${dir}\n` });
    const status = await hawser("status", "--data", dir, "--json");
    expect(JSON.parse(status.stdout)).toEqual({ running: false, ready: false, pid: null, processes: [] });
    expect(status.code).toBe(4);
  });
});

describe("lanes", () => {
  const root = join(dir, "tree");
  for (const file of ["libs/a/test/a.test.ts", "libs/a/node_modules/b/test/b.test.ts", "services/s/test/deep/s.test.ts", "test/tidy.test.ts", "test/e2e/e.test.ts", "test/chaos/c.test.ts", "test/chaos/long/l.test.ts"]) {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), "");
  }
  const files = (what?: string): unknown => {
    const selection = selectTests(what, root);
    return "files" in selection ? selection.files : selection.problem;
  };

  it("choose files by where they are", () => {
    expect(files()).toEqual(["libs/a/test/a.test.ts", "services/s/test/deep/s.test.ts", "test/chaos/c.test.ts", "test/e2e/e.test.ts", "test/tidy.test.ts"]);
    expect(files("everyday")).toEqual(files());
    expect(files("unit")).toEqual(["libs/a/test/a.test.ts", "services/s/test/deep/s.test.ts"]);
    expect(files("e2e")).toEqual(["test/e2e/e.test.ts"]);
    expect(files("chaos")).toEqual(["test/chaos/c.test.ts", "test/chaos/long/l.test.ts"]);
    expect(files("soak")).toBe("lane soak has no tests yet");
  });

  it("give way to a filter, which reaches the long lanes too", () => {
    expect(files("libs/a")).toEqual(["libs/a/test/a.test.ts"]);
    expect(files("l.test")).toEqual(["test/chaos/long/l.test.ts"]);
  });
});

describe("the closing line", () => {
  const module = (states: string[], state = "passed"): never => ({ state: () => state, children: { allTests: () => states.map((each) => ({ result: () => ({ state: each }) })) } }) as never;

  it("counts tests, and files that could not be run", () => {
    expect(closingLine(countResults([module(["passed", "passed"]), module(["passed"])], 0))).toBe("3 passed, 0 failed");
    expect(closingLine(countResults([module(["passed", "failed", "skipped"], "failed"), module([], "failed")], 1))).toBe("1 passed, 3 failed, 1 skipped");
  });
});
