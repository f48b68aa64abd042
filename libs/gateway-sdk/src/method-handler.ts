/** What a program gives for each method it offers. */
import type { Method } from "@hawser/csg-protocol";
import type { Progress } from "./gateway-messages.ts";

export interface RunContext {
  readonly id: string;
  readonly attempt: number;
  /** Aborted by a cancel, by the deadline, or by a task's step timeout; its reason says which. */
  readonly signal: AbortSignal;
  /** Re-arms the step timeout of a task. Sent at most once per second, a new stage at once. */
  progress(progress: Progress): void;
  /** W3C text of the span that runs the handler, empty when the command is not traced. */
  readonly traceparent: string;
}

export interface MethodHandler {
  readonly method: Method;
  readonly run: (params: unknown, context: RunContext) => Promise<unknown>;
}

/** A handler with the types of its method. What it throws as CommandFailed is the command's error; anything else is INTERNAL. */
export function handler<P>(method: Method<P>, run: (params: P, context: RunContext) => Promise<unknown>): MethodHandler {
  return { method, run } as unknown as MethodHandler;
}
