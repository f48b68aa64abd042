import { spawn } from "node:child_process";
import { accessSync, constants, statSync } from "node:fs";
import { delimiter, join } from "node:path";
import { HawserError } from "@hawser/errors";
import { guardChild } from "./process-guard.ts";

/** Absolute path of a program on PATH. */
export function findProgram(name: string): string | null {
  for (const directory of (process.env["PATH"] ?? "").split(delimiter)) {
    if (directory === "") continue;
    const path = join(directory, name);
    if (isExecutable(path)) return path;
  }
  return null;
}

export function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** A line for who waits, on stderr: stdout belongs to results. */
export function progress(line: string): void {
  process.stderr.write(`hawser: ${line}\n`);
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly timeoutMs?: number;
}

/** Runs a program to its end. @returns its stdout. @throws HawserError with the last line it wrote to stderr */
export function runProgram(program: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: options.cwd,
      env: options.env ?? process.env,
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
      timeout: options.timeoutMs ?? 0,
      killSignal: "SIGKILL",
    });
    guardChild(child);
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr = (stderr + text).slice(-20_000)));
    child.once("error", (cause) => reject(new HawserError("HAWSER_E_PREREQUISITE", `${program} cannot be run: ${cause.message}`, { cause })));
    child.once("close", (code, signal) => {
      if (code === 0) return resolve(stdout);
      const why = lastLine(stderr) ?? lastLine(stdout) ?? "";
      reject(new HawserError("HAWSER_E_PREREQUISITE", `${program} ${args[0] ?? ""} failed (${signal ?? `exit ${code}`})${why ? `: ${why}` : ""}`));
    });
  });
}

function lastLine(text: string): string | undefined {
  return text.trimEnd().split("\n").at(-1)?.trim() || undefined;
}
