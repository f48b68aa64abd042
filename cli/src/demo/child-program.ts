/** A program of the demo: its own process, its lines on stdout, and it dies with the demo. */
import { spawn, type ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { resolve } from "node:path";
import { guardChild } from "@hawser/stack";

const ROOT = resolve(import.meta.dirname, "../../..");
const STOP_PATIENCE_MS = 5_000;

export interface ChildProgramOptions {
  readonly main: string;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly onLine: (line: string) => void;
}

export class ChildProgram {
  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;
  /** What it last wrote to stderr, for the error of who waits for it. */
  lastWords = "";

  /** @param options.main path below the repository's root */
  constructor(options: ChildProgramOptions) {
    const env = { ...process.env, ...options.env };
    this.#child = spawn(process.execPath, [resolve(ROOT, options.main), ...(options.args ?? [])], { env, detached: true, stdio: ["pipe", "pipe", "pipe"] });
    guardChild(this.#child);
    this.#exited = new Promise((resolveExit) => this.#child.once("exit", () => resolveExit()));
    createInterface({ input: this.#child.stdout! }).on("line", options.onLine);
    createInterface({ input: this.#child.stderr! }).on("line", (line) => (this.lastWords = line));
    this.#child.stdin!.on("error", () => undefined);
  }

  get pid(): number {
    return this.#child.pid!;
  }

  writeLine(line: object): void {
    this.#child.stdin!.write(`${JSON.stringify(line)}\n`);
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill("SIGTERM");
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), STOP_PATIENCE_MS);
    await this.#exited;
    clearTimeout(timer);
  }
}
