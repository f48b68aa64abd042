import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { decideRestart } from "./decide-restart.ts";
import { guardChild } from "./process-guard.ts";

export interface ProcessSpec {
  /** `ingress-0`, `nats` */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  /** Both outputs are appended to it, across restarts. */
  readonly logFile: string;
}

export type ProcessState = "stopped" | "running" | "waiting";

/**
 * One process that is started again, with backoff, whenever it ends, until stop(). It leads a
 * process group of its own and never outlives this process (process-guard.ts).
 */
export class SupervisedProcess {
  readonly spec: ProcessSpec;
  state: ProcessState = "stopped";
  /** Of the process that runs or ran last; 0 before the first. */
  pid = 0;
  restarts = 0;
  /** How it ended last, `exit 1` or `SIGKILL`. */
  lastEnd: string | null = null;
  /** Where in the log file the output of the process that runs now begins. */
  logOffset = 0;
  readonly #onChange: () => void;
  #child: ChildProcess | undefined;
  #failures = 0;
  #startedMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #stopping = false;
  #ended: Promise<void> = Promise.resolve();

  constructor(spec: ProcessSpec, onChange: () => void = () => undefined) {
    this.spec = spec;
    this.#onChange = onChange;
  }

  start(): void {
    this.#stopping = false;
    this.#launch();
  }

  /** Has no effect when it does not run. */
  kill(signal: NodeJS.Signals = "SIGKILL"): void {
    this.#child?.kill(signal);
  }

  /** Ends it for good. @param patienceMs after which SIGKILL follows; 0 = at once */
  async stop(patienceMs: number): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#timer);
    if (this.#child) {
      if (patienceMs > 0) this.#child.kill("SIGTERM");
      const hard = setTimeout(() => this.#killGroup(), patienceMs);
      await this.#ended;
      clearTimeout(hard);
    }
    this.state = "stopped";
  }

  /** The last lines of what the process wrote since it was started last. */
  tail(bytes = 2000): string {
    try {
      return readFileSync(this.spec.logFile).subarray(this.logOffset).subarray(-bytes).toString("utf8").trimEnd();
    } catch {
      return "";
    }
  }

  hasLogged(text: string): boolean {
    try {
      return readFileSync(this.spec.logFile).subarray(this.logOffset).includes(text);
    } catch {
      return false;
    }
  }

  #killGroup(): void {
    try {
      process.kill(-this.pid, "SIGKILL");
    } catch {
      this.#child?.kill("SIGKILL");
    }
  }

  #launch(): void {
    const { command, args, cwd, env, logFile } = this.spec;
    mkdirSync(dirname(logFile), { recursive: true });
    const log = openSync(logFile, "a");
    this.logOffset = statSync(logFile).size;
    const child = spawn(command, args, { cwd, env, detached: true, stdio: ["ignore", log, log] });
    closeSync(log);
    this.#child = child;
    this.#startedMs = Date.now();
    this.#ended = new Promise((resolve) => {
      let ended = false;
      const end = (how: string): void => {
        if (ended) return;
        ended = true;
        this.#onEnd(how);
        resolve();
      };
      child.once("exit", (code, signal) => end(signal ?? `exit ${code}`));
      child.once("error", (error) => end(error.message));
    });
    if (child.pid === undefined) return;
    guardChild(child);
    this.pid = child.pid;
    this.state = "running";
    this.#onChange();
  }

  #onEnd(how: string): void {
    this.#child = undefined;
    this.lastEnd = how;
    if (this.#stopping) {
      this.state = "stopped";
      return;
    }
    const { delayMs, failures } = decideRestart(this.#failures, Date.now() - this.#startedMs);
    this.#failures = failures;
    this.state = "waiting";
    this.#timer = setTimeout(() => {
      this.restarts++;
      this.#launch();
    }, delayMs);
    this.#onChange();
  }
}
