/** The load generator from outside: its process, its words. */
import { spawn, type ChildProcess } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { guardChild, type StackState } from "@hawser/stack";
import type { LoadMark, LoadOptions } from "./load-main.ts";

export type LoadShape = Pick<LoadOptions, "connections" | "window" | "rate" | "payloadBytes">;

export class LoadProcess {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<string, (line: Record<string, unknown>) => void>();
  #reject: (error: Error) => void = () => undefined;
  readonly #failure: Promise<never>;

  private constructor(options: LoadOptions) {
    this.#child = spawn(process.execPath, [join(import.meta.dirname, "load-main.ts"), JSON.stringify(options)], { detached: true, stdio: ["pipe", "pipe", "inherit"] });
    guardChild(this.#child);
    this.#failure = new Promise((_, reject) => (this.#reject = reject));
    this.#failure.catch(() => undefined);
    this.#child.once("exit", (code) => this.#reject(new Error(`the load generator ended (${code})`)));
    createInterface({ input: this.#child.stdout! }).on("line", (text) => {
      const line = JSON.parse(text) as { event: string; reason?: string };
      if (line.event === "failed") this.#reject(new Error(`the load generator: ${line.reason}`));
      else this.#waiting.get(line.event)?.(line as unknown as Record<string, unknown>);
    });
  }

  /** Resolves when every connection is accepted. */
  static async start(state: StackState, shape: LoadShape): Promise<LoadProcess> {
    const [host, port] = state.endpoints.mqtt[0]!.tcp.split(":");
    const { accessKeyId, accessKeySecret } = state.credentials;
    const load = new LoadProcess({ host: host!, port: Number(port), accessKeyId, accessKeySecret, instance: state.instance, ...shape });
    await load.#answer("ready");
    return load;
  }

  get pid(): number {
    return this.#child.pid!;
  }

  #answer<T>(event: string): Promise<T> {
    const answer = new Promise<T>((resolve) => this.#waiting.set(event, (line) => resolve(line as T)));
    return Promise.race([answer, this.#failure]);
  }

  #say(word: string): void {
    this.#child.stdin!.write(`${word}\n`);
  }

  go(): void {
    this.#say("go");
  }

  mark(): Promise<LoadMark> {
    this.#say("mark");
    return this.#answer("mark");
  }

  /** Publishes no more. @returns messages acknowledged in all, when none is open */
  async quiet(): Promise<number> {
    this.#say("quiet");
    return (await this.#answer<{ acked: number }>("quiet")).acked;
  }

  async end(): Promise<void> {
    const exited = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#say("end");
    await exited;
  }
}
