/** A request the gateway has taken: waiting for room in its lane, or running. */
import { type CommandError, commandError, type Lane, lanes, PARAMS_MAX_BYTES, type RequestMessage } from "@hawser/csg-protocol";
import type { Outcome, Progress } from "./gateway-messages.ts";

export interface Job {
  readonly request: RequestMessage;
  readonly mutexKey: string | null;
  readonly params: unknown;
  readonly deadlineAt: number;
  running: boolean;
  /** When a task without progress is aborted. */
  stepAt: number;
  /** 0 = not aborted. */
  abortedAt: number;
  abortError: CommandError | null;
  /** Progress reports so far. */
  n: number;
  progress: Progress | null;
  progressDue: boolean;
  progressSentAt: number;
}

export function newJob(request: RequestMessage, params: unknown, mutexKey: string | null, deadlineAt: number): Job {
  return {
    request,
    mutexKey,
    params,
    deadlineAt,
    running: false,
    stepAt: Number.POSITIVE_INFINITY,
    abortedAt: 0,
    abortError: null,
    n: 0,
    progress: null,
    progressDue: false,
    progressSentAt: 0,
  };
}

/** The waiting jobs that may start now, in arrival order: their lane has room, nobody runs under their mutex key. */
export function startableJobs(jobs: Iterable<Job>): Job[] {
  const all = [...jobs];
  const busy: Record<Lane, number> = { query: 0, config: 0, task: 0 };
  const keys = new Set<string>();
  const occupy = (job: Job): void => {
    busy[job.request.lane] += 1;
    if (job.mutexKey !== null) keys.add(job.mutexKey);
  };
  for (const job of all) if (job.running) occupy(job);
  return all.filter((job) => {
    const { lane } = job.request;
    if (job.running || busy[lane] >= lanes[lane] || (job.mutexKey !== null && keys.has(job.mutexKey))) return false;
    occupy(job);
    return true;
  });
}

/** A result that does not fit into a message becomes an error: the command has run, its answer cannot be told. */
export function fitting(outcome: Outcome): Outcome {
  if ("error" in outcome) return outcome;
  const sizeBytes = Buffer.byteLength(JSON.stringify(outcome.result ?? null));
  return sizeBytes > PARAMS_MAX_BYTES ? { error: commandError("RESULT_TOO_LARGE", `the result has ${sizeBytes} bytes`) } : outcome;
}
