import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, describe, expect, it } from "vitest";
import { decideRestart } from "../src/decide-restart.ts";
import { lastWords } from "../src/last-words.ts";
import { isAlive } from "../src/lock.ts";
import { SupervisedProcess } from "../src/supervised-process.ts";

const dir = mkdtempSync(join(tmpdir(), "hawser-supervised-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function shell(name: string, script: string): SupervisedProcess {
  return new SupervisedProcess({ name, command: "sh", args: ["-c", script], cwd: dir, env: process.env, logFile: join(dir, `${name}.log`) });
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(10);
}

describe("restarts", () => {
  it("come after 250 ms, then ever later up to 5 s, and at once again after 10 good seconds", () => {
    const delays: number[] = [];
    let failures = 0;
    for (let end = 0; end < 8; end++) {
      const decision = decideRestart(failures, 100);
      delays.push(decision.delayMs);
      failures = decision.failures;
    }
    expect(delays).toEqual([250, 500, 1000, 2000, 4000, 5000, 5000, 5000]);
    expect(decideRestart(failures, 10_000)).toEqual({ delayMs: 250, failures: 1 });
  });

  it("happen to a process that ends by itself, and each has a pid of its own", async () => {
    const supervised = shell("ends", "echo run $$; sleep 0.1; exit 3");
    supervised.start();
    const first = supervised.pid;
    await until(() => supervised.restarts === 1 && supervised.state === "running");
    expect(supervised.pid).not.toBe(first);
    expect(supervised.lastEnd).toBe("exit 3");
    await supervised.stop(0);
    expect(readFileSync(join(dir, "ends.log"), "utf8").match(/run \d+/g)!.length).toBeGreaterThanOrEqual(2);
  });

  it("do not happen after stop()", async () => {
    const supervised = shell("stopped", "exec sleep 60");
    supervised.start();
    await supervised.stop(1000);
    await sleep(350);
    expect(supervised).toMatchObject({ state: "stopped", restarts: 0 });
    expect(isAlive(supervised.pid)).toBe(false);
  });

  it("go on when the program cannot even be started", async () => {
    const supervised = new SupervisedProcess({ name: "none", command: join(dir, "nothing-here"), args: [], cwd: dir, env: process.env, logFile: join(dir, "none.log") });
    supervised.start();
    await until(() => supervised.state === "waiting");
    expect(supervised.lastEnd).toContain("ENOENT");
    await supervised.stop(0);
  });
});

describe("stop()", () => {
  it("asks first, and kills the whole group of one that does not listen", async () => {
    const supervised = shell("deaf", "trap '' TERM; sleep 60 & echo child $!; wait; wait");
    supervised.start();
    await until(() => supervised.hasLogged("child"));
    const child = Number(/child (\d+)/.exec(supervised.tail())![1]);
    const before = Date.now();
    await supervised.stop(300);
    expect(Date.now() - before).toBeGreaterThanOrEqual(290);
    await until(() => !isAlive(child));
    expect(isAlive(supervised.pid)).toBe(false);
  });
});

describe("the process guard", () => {
  it("takes along what a process has started when that is killed with SIGKILL", async () => {
    const program = join(dir, "parent.ts");
    writeFileSync(
      program,
      `import { spawn } from "node:child_process";
       import { guardChild } from ${JSON.stringify(join(import.meta.dirname, "../src/process-guard.ts"))};
       const quick = spawn("true", { detached: true, stdio: "ignore" });
       guardChild(quick);
       const child = spawn("sh", ["-c", "sleep 60 & echo $!; wait"], { detached: true, stdio: ["ignore", "pipe", "ignore"] });
       guardChild(child);
       child.stdout.once("data", (line) => console.log(child.pid, line.toString().trim()));`,
    );
    const parent = spawn(process.execPath, [program], { stdio: ["ignore", "pipe", "inherit"] });
    const [line] = (await once(parent.stdout, "data")) as [Buffer];
    const pids = line.toString().trim().split(" ").map(Number);
    expect(pids.map(isAlive)).toEqual([true, true]);
    parent.kill("SIGKILL");
    await until(() => !pids.some(isAlive));
  });
});

it("reads the reason out of a log line, JSON or not", async () => {
  const json = shell("json", `echo 'noise'; echo '{"level":60,"err":{"message":"the disk is full"},"msg":"cannot go on"}'; exec sleep 60`);
  const text = shell("text", "echo 'session: NATS cannot be reached'; exec sleep 60");
  for (const each of [json, text]) each.start();
  await until(() => json.hasLogged("disk") && text.hasLogged("NATS"));
  expect(lastWords(json)).toBe("the disk is full");
  expect(lastWords(text)).toBe("session: NATS cannot be reached");
  await Promise.all([json.stop(0), text.stop(0)]);
});
