/** The launcher in a tree of its own, with node and npm that only tell how they were called. */
import { execFile } from "node:child_process";
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, expect, it } from "vitest";

const launcher = resolve(import.meta.dirname, "../../hawser");
const run = promisify(execFile);
let home: string;
let tree: string;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "hawser launcher "));
  tree = join(home, "a tree");
  mkdirSync(join(tree, "cli/src"), { recursive: true });
  mkdirSync(join(home, "bin"));
  cpSync(launcher, join(tree, "hawser"));
  writeFileSync(join(tree, "package-lock.json"), "{}");
  program("node", nodeOf(24));
  program(
    "npm",
    `echo "npm $*" >>"${home}/npm.log"
     case $1 in
       ci) sleep 0.3; mkdir -p node_modules; echo '{}' >node_modules/.package-lock.json;;
       pack) mkdir -p package/bin; cp "${home}/good-node" package/bin/node; tar -czf node.tgz package; rm -r package;;
     esac`,
  );
  writeFileSync(join(home, "good-node"), `#!/bin/sh\n${nodeOf(24)}`, { mode: 0o755 });
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

/** Answers the question for its version, else tells its arguments. */
function nodeOf(major: number): string {
  return `case $1 in -p) echo ${major};; *) shift; for each; do echo "<$each>"; done;; esac\n`;
}

function program(name: string, script: string): void {
  writeFileSync(join(home, "bin", name), `#!/bin/sh\n${script}`);
  chmodSync(join(home, "bin", name), 0o755);
}

async function hawser(args: string[] = [], options: { shell?: string; path?: string; cwd?: string } = {}): Promise<{ stdout: string; stderr: string; code: number }> {
  const env = { PATH: `${join(home, "bin")}:/usr/bin:/bin`, HOME: home };
  const script = options.path ?? join(tree, "hawser");
  try {
    const { stdout, stderr } = await run(options.shell ?? "sh", [script, ...args], { env, cwd: options.cwd ?? "/" });
    return { stdout, stderr, code: 0 };
  } catch (error) {
    const failed = error as { stdout: string; stderr: string; code: number };
    return { stdout: failed.stdout, stderr: failed.stderr, code: failed.code };
  }
}

function npmCalls(): string[] {
  return existsSync(join(home, "npm.log")) ? readFileSync(join(home, "npm.log"), "utf8").trim().split("\n") : [];
}

it("is POSIX sh", async () => {
  for (const shell of ["sh", "dash", "bash"]) {
    if (shell === "sh" || existsSync(`/bin/${shell}`)) await run(shell, ["-n", launcher]);
  }
  expect(readFileSync(launcher, "utf8")).not.toMatch(/\[\[|\blocal\b|\bfunction\b|<<</);
});

it("installs once, then runs the command with its arguments as they are, from any directory and through a link", async () => {
  const first = await hawser(["up", "--set", "a=b c", "*"]);
  expect(first).toMatchObject({ code: 0, stdout: `<${join(tree, "cli/src/main.ts")}>\n<up>\n<--set>\n<a=b c>\n<*>\n` });
  expect(npmCalls()).toEqual([expect.stringMatching(/^npm ci /)]);
  symlinkSync(join(tree, "hawser"), join(home, "linked"));
  const second = await hawser(["status"], { path: join(home, "linked"), cwd: home });
  expect(second).toMatchObject({ code: 0, stdout: `<${join(tree, "cli/src/main.ts")}>\n<status>\n`, stderr: "" });
  expect(npmCalls()).toHaveLength(1);
});

it("installs again when the lock file has changed, not when it was merely touched", async () => {
  await hawser();
  utimesSync(join(tree, "package-lock.json"), new Date(), new Date(Date.now() + 60_000));
  await hawser();
  expect(npmCalls()).toHaveLength(1);
  writeFileSync(join(tree, "package-lock.json"), '{"other":1}');
  utimesSync(join(tree, "package-lock.json"), new Date(), new Date(Date.now() + 120_000));
  await hawser();
  expect(npmCalls()).toHaveLength(2);
});

it("installs once when several start at the same time", async () => {
  const all = await Promise.all([hawser(["a"]), hawser(["b"])]);
  expect(all.map(({ code }) => code)).toEqual([0, 0]);
  expect(npmCalls()).toHaveLength(1);
});

it("fetches Node when the one at hand is too old, once", async () => {
  program("node", nodeOf(20));
  const first = await hawser(["x"]);
  expect(first).toMatchObject({ code: 0, stdout: expect.stringContaining("<x>") });
  expect(npmCalls()[0]).toMatch(/^npm pack .*node-(linux|darwin)-(x64|arm64)@24\.\d+\.\d+$/);
  expect(await hawser(["y"])).toMatchObject({ code: 0, stderr: "" });
  expect(npmCalls().filter((call) => call.startsWith("npm pack"))).toHaveLength(1);
});

it("says in one line what is missing", async () => {
  program("npm", `case $1 in ci) echo "npm error code ENETDOWN" >&2; echo "npm error network is down" >&2; exit 1;; *) exit 1;; esac`);
  const install = await hawser();
  expect(install).toMatchObject({ code: 1, stdout: "", stderr: expect.stringMatching(/^hawser: installing packages\nhawser: npm ci failed: npm error network is down; see .*install\.log\n$/) });
  program("node", nodeOf(18));
  const node = await hawser();
  expect(node).toMatchObject({ code: 1, stderr: expect.stringMatching(/hawser: Node 24\.\d+\.\d+ could not be fetched with npm: install Node 24 or newer and start again\n$/) });
  expect(existsSync(join(tree, ".hawser/install.lock"))).toBe(false);
});
