/** The RocketMQ application of the demo: examples/control-plane in its own process, and what it has heard. */
import type { ReplyLine } from "./reply-line.ts";
import { ChildProgram } from "./child-program.ts";

export interface CommandOrder {
  readonly gateway: string;
  readonly method: string;
  readonly params?: unknown;
  readonly rawBody?: string;
  readonly reply?: "none" | "final" | "progress";
  readonly queueTtlMs?: number;
  readonly deadlineMs?: number;
  readonly id: string;
}

interface SentLine {
  readonly event: "sent" | "not-sent" | "ready" | "problem" | "bad-line";
  readonly id?: string;
  readonly traceparent?: string;
  readonly problem?: string;
}

export class ControlPlane {
  readonly #program: ChildProgram;
  readonly #waiters = new Set<() => void>();
  readonly replies: ReplyLine[] = [];
  readonly traceIds = new Map<string, string>();
  readonly problems: string[] = [];
  #ready = false;

  constructor(endpoint: string, otlpUrl: string) {
    this.#program = new ChildProgram({
      main: "examples/control-plane/src/main.ts",
      args: ["--endpoints", endpoint, "--otlp", otlpUrl],
      onLine: (line) => this.#line(line),
    });
  }

  #line(text: string): void {
    const line = JSON.parse(text) as SentLine | ReplyLine;
    if (!("event" in line)) this.replies.push(line);
    else if (line.event === "ready") this.#ready = true;
    else if (line.event === "sent") this.traceIds.set(line.id!, line.traceparent?.slice(3, 35) ?? "");
    else this.problems.push(`${line.event}: ${line.problem ?? text}`);
    for (const check of this.#waiters) check();
  }

  ready(): Promise<void> {
    return this.#until(() => this.#ready, 30_000, "the control plane is ready");
  }

  send(order: CommandOrder): void {
    this.#program.writeLine(order);
  }

  repliesTo(id: string): ReplyLine[] {
    return this.replies.filter((reply) => reply.id === id);
  }

  /** The final reply to a command. @throws when it does not come in time */
  async final(id: string, timeoutMs: number): Promise<ReplyLine> {
    const find = (): ReplyLine | undefined => this.replies.find((reply) => reply.id === id && reply.kind === "final");
    await this.#until(() => find() !== undefined, timeoutMs, `the final reply to ${id}`);
    return find()!;
  }

  #until(condition: () => boolean, timeoutMs: number, what: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const check = (): void => {
        if (!condition()) return;
        clearTimeout(timer);
        this.#waiters.delete(check);
        resolve();
      };
      const timer = setTimeout(() => {
        this.#waiters.delete(check);
        reject(new Error(`waited ${timeoutMs / 1000} s for ${what} ${this.#program.lastWords}`));
      }, timeoutMs);
      this.#waiters.add(check);
      check();
    });
  }

  stop(): Promise<void> {
    return this.#program.stop();
  }
}
