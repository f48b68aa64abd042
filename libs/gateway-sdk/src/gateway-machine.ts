/**
 * The machine of a gateway program: pure but for its own state; the shell keeps the journal, the
 * connection and the handlers.
 *
 * A connection begins with hello and is of use only after welcome: a request before it is not run,
 * the platform sends it again. A request whose id the journal knows is answered from it: the result
 * again, "accepted", or how far it is. An unknown one is checked (time left, mark, method,
 * parameters, room in its lane), journaled as started, and only then run. What was started when the
 * process died is never run a second time, unless its method is idempotent: it ends as UNKNOWN,
 * INTERRUPTED_BY_CRASH. Refusals are journaled like results, so that a late second copy of the
 * request gets the same answer. Results are kept until they are acknowledged.
 */
import { type CommandError, commandError, type DownlinkMessage, isUuid, type Lane, type RequestMessage } from "@hawser/csg-protocol";
import { checkRequest } from "./check-request.ts";
import type { GatewayInput, GatewayOutput, GatewayTurn, Outcome, Progress } from "./gateway-messages.ts";
import { type HelloSource, helloPages } from "./hello-pages.ts";
import { fitting, type Job, newJob, startableJobs } from "./job.ts";
import type { JournalEntry, JournalRecord, JournalState } from "./journal-entries.ts";

export interface MachineOptions extends HelloSource {
  /** A task that reports nothing for this long is aborted. Default 60 s. */
  readonly stepTimeoutMs?: number;
}

const HELLO_RETRY_MIN_MS = 5_000;
const HELLO_RETRY_MAX_MS = 30_000;
const PROGRESS_EVERY_MS = 1_000;
/** A handler that ignores its abort is given up after this. */
const ABORT_GRACE_MS = 3_000;
/** Commands of one lane that wait for room. */
const WAITING_MAX = 16;

export class GatewayMachine {
  readonly journal: JournalState;
  readonly #options: MachineOptions;
  #link: "down" | "hello" | "ready" = "down";
  #helloAt = Number.POSITIVE_INFINITY;
  #helloPauseMs = HELLO_RETRY_MIN_MS;
  /** Server time less our time. Null before the first welcome. */
  #clockOffsetMs: number | null = null;
  readonly #jobs = new Map<string, Job>();
  #now = 0;
  #entries: JournalEntry[] = [];
  #outputs: GatewayOutput[] = [];
  #sync = false;

  constructor(journal: JournalState, options: MachineOptions) {
    this.journal = journal;
    this.#options = options;
  }

  /** Welcomed on the present connection. */
  get ready(): boolean {
    return this.#link === "ready";
  }

  /** @param now ms of a clock that does not jump */
  receive(input: GatewayInput, now: number): GatewayTurn {
    this.#now = now;
    this.#entries = [];
    this.#outputs = [];
    this.#sync = false;
    switch (input.kind) {
      case "boot":
        this.#boot();
        break;
      case "connected":
        this.#link = "hello";
        this.#helloPauseMs = HELLO_RETRY_MIN_MS;
        this.#hello();
        break;
      case "disconnected":
        this.#link = "down";
        this.#helloAt = Number.POSITIVE_INFINITY;
        break;
      case "down":
        this.#down(input.message);
        break;
      case "progress":
        this.#progress(input.id, input.progress);
        break;
      case "finished":
        this.#finished(input.id, input.outcome);
        break;
      case "tick":
        this.#tick();
        break;
    }
    return { entries: this.#entries, sync: this.#sync, outputs: this.#outputs };
  }

  #write(entry: JournalEntry, sync: boolean): void {
    this.journal.apply(entry);
    this.#entries.push(entry);
    this.#sync ||= sync;
  }

  #send(message: Extract<GatewayOutput, { kind: "send" }>["message"], qos: 0 | 1 = 1): void {
    // without a connection nothing is sent: hello tells what there is, welcome asks for it
    if (this.#link !== "down") this.#outputs.push({ kind: "send", message, qos });
  }

  #boot(): void {
    for (const record of [...this.journal.records.values()]) {
      if (record.state !== "started" || record.idempotent) continue;
      const { id, lane, seq } = record;
      const error = commandError("INTERRUPTED_BY_CRASH", "the gateway program ended while it ran; how far it came is not known");
      this.#write({ t: "done", id, lane, seq, at: this.#now, error }, true);
    }
  }

  #hello(): void {
    this.#helloAt = this.#now + this.#helloPauseMs;
    this.#helloPauseMs = Math.min(HELLO_RETRY_MAX_MS, this.#helloPauseMs * 2);
    for (const page of helloPages(this.journal, this.#options)) this.#send(page);
  }

  #down(message: DownlinkMessage): void {
    switch (message.k) {
      case "welcome":
        this.#clockOffsetMs = message.serverTime - this.#now;
        if (this.#link === "hello") this.#link = "ready";
        this.#helloAt = Number.POSITIVE_INFINITY;
        this.#acked(message.ack);
        for (const id of message.resend) this.#answer(id);
        return;
      case "ack":
        this.#acked(message.ids);
        return;
      case "req":
        this.#acked(message.ack);
        if (this.#link === "ready") this.#request(message);
        return;
      case "cancel":
        this.#acked(message.ack);
        if (this.#link === "ready") this.#cancel(message.id);
        return;
      case "query":
        this.#acked(message.ack);
        if (this.#link === "ready") this.#query(message.id);
        return;
      case "desired":
        return;
    }
  }

  #acked(ids: readonly string[] | undefined): void {
    const news = ids?.filter((id) => this.journal.records.get(id)?.acked === false) ?? [];
    if (news.length > 0) this.#write({ t: "acked", ids: news }, false);
  }

  #request(request: RequestMessage): void {
    const { id, lane, seq } = request;
    const record = this.journal.records.get(id);
    if (this.#jobs.has(id) || (record && record.state !== "started")) {
      this.#answer(id);
      return;
    }
    if (!isUuid(id)) {
      this.#send({ v: 1, k: "res", id, att: request.att, error: commandError("ID_INVALID", "the id is not a UUID in lower case") });
      return;
    }
    if (!record && seq > 0 && seq <= this.journal.marks[lane]) {
      this.#send({ v: 1, k: "res", id, att: request.att, error: commandError("BELOW_MARK", `seq ${seq} of lane ${lane} may have been run and forgotten`) });
      return;
    }
    const leftMs = this.#leftMs(request);
    const checked = checkRequest(request, this.#options.methods, this.journal.high.config, leftMs);
    if (!checked.ok) return this.#refuse(id, lane, seq, checked.error);
    let waiting = 0;
    for (const job of this.#jobs.values()) if (!job.running && job.request.lane === lane) waiting += 1;
    if (waiting >= WAITING_MAX) return this.#refuse(id, lane, seq, commandError("LANE_FULL", `${waiting} commands already wait in lane ${lane}`));
    const { method, params } = checked;
    this.#jobs.set(id, newJob(request, params, method.mutexKey?.(params) ?? null, this.#now + leftMs));
    this.#startDue();
  }

  /** What the sender granted, less what the request lost on its way, as far as we know the time. */
  #leftMs(request: RequestMessage): number {
    if (request.at === undefined || this.#clockOffsetMs === null) return request.ttl;
    const underWayMs = this.#now + this.#clockOffsetMs - request.at;
    return request.ttl - Math.max(0, underWayMs);
  }

  #startDue(): void {
    for (const job of startableJobs(this.#jobs.values())) this.#start(job);
  }

  #start(job: Job): void {
    const { id, lane, seq, method, att, traceparent = "" } = job.request;
    job.running = true;
    if (lane === "task") job.stepAt = this.#now + this.#stepTimeoutMs;
    const { idempotent } = this.#options.methods.get(method)!;
    this.#write({ t: "started", id, lane, seq, method, idempotent, at: this.#now }, true);
    this.#send({ v: 1, k: "acc", id, att });
    this.#outputs.push({ kind: "run", id, method, params: job.params, attempt: att, traceparent });
  }

  get #stepTimeoutMs(): number {
    return this.#options.stepTimeoutMs ?? 60_000;
  }

  /** What the journal, or the running job, knows of an id. */
  #answer(id: string): void {
    const job = this.#jobs.get(id);
    if (job) {
      if (!job.running) return;
      if (job.progress) this.#sendProgress(id, job, 1);
      else this.#send({ v: 1, k: "acc", id, att: job.request.att });
      return;
    }
    const record = this.journal.records.get(id);
    if (record?.state === "done") this.#sendResult(record);
    else if (record?.state === "never") this.#send({ v: 1, k: "res", id, att: 0, error: neverSeen });
  }

  #sendResult({ id, error, result }: JournalRecord): void {
    this.#send({ v: 1, k: "res", id, att: 0, ...(error ? { error } : { result }) });
  }

  #cancel(id: string): void {
    const job = this.#jobs.get(id);
    const error = commandError("BY_OPERATOR", "cancelled");
    if (job?.running) {
      this.#abort(id, job, error);
      return;
    }
    const record = this.journal.records.get(id);
    if (!job && record && record.state !== "started") this.#answer(id);
    else this.#refuse(id, job?.request.lane ?? record?.lane ?? "task", job?.request.seq ?? record?.seq ?? 0, error);
  }

  #query(id: string): void {
    const record = this.journal.records.get(id);
    if (this.#jobs.has(id) || (record && record.state !== "started")) {
      this.#answer(id);
    } else if (record) {
      this.#refuse(id, record.lane, record.seq, neverSeen);
    } else {
      this.#write({ t: "never", id, at: this.#now }, true);
      this.#answer(id);
    }
  }

  #abort(id: string, job: Job, error: CommandError): void {
    if (job.abortedAt > 0) return;
    job.abortedAt = this.#now;
    job.abortError = error;
    this.#outputs.push({ kind: "abort", id, reason: error.reason });
  }

  #progress(id: string, progress: Progress): void {
    const job = this.#jobs.get(id);
    if (!job?.running) return;
    const newStage = progress.stage !== undefined && progress.stage !== job.progress?.stage;
    job.progress = { ...job.progress, ...progress };
    job.n += 1;
    if (job.stepAt !== Number.POSITIVE_INFINITY) job.stepAt = this.#now + this.#stepTimeoutMs;
    if (newStage || this.#now - job.progressSentAt >= PROGRESS_EVERY_MS) this.#sendProgress(id, job, newStage ? 1 : 0);
    else job.progressDue = true;
  }

  #sendProgress(id: string, job: Job, qos: 0 | 1): void {
    job.progressDue = false;
    job.progressSentAt = this.#now;
    this.#send({ v: 1, k: "prog", id, att: job.request.att, n: job.n, ...job.progress }, qos);
  }

  #finished(id: string, outcome: Outcome): void {
    const job = this.#jobs.get(id);
    if (!job?.running) return;
    const { lane, seq } = job.request;
    const aborted = "error" in outcome && job.abortError ? { error: job.abortError } : outcome;
    this.#end(id, lane, seq, fitting(aborted));
  }

  /** The end of a command, run or not: journaled, then told. */
  #end(id: string, lane: Lane, seq: number, outcome: Outcome): void {
    this.#jobs.delete(id);
    this.#write({ t: "done", id, lane, seq, at: this.#now, ...outcome }, true);
    this.#answer(id);
    this.#startDue();
  }

  /** Ends what does not run. It may have begun to in an earlier life of this program, if it is idempotent. */
  #refuse(id: string, lane: Lane, seq: number, error: CommandError): void {
    const begun = this.journal.records.get(id)?.state === "started";
    this.#end(id, lane, seq, { error: begun ? commandError("INTERRUPTED_BY_CRASH", "the gateway program ended while it ran") : error });
  }

  #tick(): void {
    if (this.#helloAt <= this.#now && this.#link !== "down") this.#hello();
    for (const [id, job] of [...this.#jobs]) this.#tickJob(id, job);
  }

  #tickJob(id: string, job: Job): void {
    const { lane, seq } = job.request;
    if (!job.running) {
      if (job.deadlineAt <= this.#now) this.#refuse(id, lane, seq, commandError("NOT_ACCEPTED", "its time was over before it could start"));
      return;
    }
    if (job.abortedAt > 0) {
      if (job.abortedAt + ABORT_GRACE_MS <= this.#now) this.#end(id, lane, seq, { error: job.abortError! });
    } else if (job.deadlineAt <= this.#now) {
      this.#abort(id, job, commandError("EXEC_TIMEOUT", "it did not end in time"));
    } else if (job.stepAt <= this.#now) {
      this.#abort(id, job, commandError("EXEC_TIMEOUT", `no progress for ${this.#stepTimeoutMs} ms`));
    }
    if (job.progressDue && this.#now - job.progressSentAt >= PROGRESS_EVERY_MS) this.#sendProgress(id, job, 0);
  }
}

const neverSeen = commandError("NEVER_SEEN", "this gateway has not run it and never will");
