/**
 * Asking the owner of a shard. A call that finds no owner, nobody listening, or an owner that says
 * it is fenced, waits until the directory shows another epoch (or a moment has passed: interest in a
 * subject may travel slower than the record) and is sent again; calls that wait keep their order,
 * and later calls of the shard queue behind them. A call whose answer is overdue fails: it may have
 * been done.
 */
import type { Bus } from "@hawser/bus";
import type { ShardDirectory } from "./shard-directory.ts";

export class CallError extends Error {
  override readonly name = "CallError";
  /** unavailable: certainly not done. timeout: it may have been done. */
  readonly kind: "unavailable" | "timeout";

  constructor(kind: "unavailable" | "timeout", shard: number) {
    super(`shard ${shard}: ${kind === "unavailable" ? "no owner" : "no answer in time"}`);
    this.kind = kind;
  }
}

export interface CallOptions {
  /** How long one answer may take. Default 5 s. */
  readonly timeoutMs?: number;
  /** How long to wait for an owner. Default 10 s. */
  readonly patienceMs?: number;
}

export type CallDone = (error: CallError | null, answer: Buffer) => void;

interface Call {
  readonly shard: number;
  readonly payload: Buffer;
  readonly timeoutMs: number;
  readonly giveUpAtMs: number;
  readonly done: CallDone;
  /** Epoch that did not work: a newer one is worth a try at once, this one after a while. */
  failedEpoch: number;
  retryAtMs: number;
  /** A try was cut off by a lost connection: it may have been done. */
  ambiguous: boolean;
}

const TIMEOUT_MS = 5_000;
const PATIENCE_MS = 10_000;
const RETRY_MS = 50;
const SWEEP_MS = 25;
const EMPTY = Buffer.alloc(0);
const FENCED = Buffer.from('{"ok":false,"code":"fenced"');

export class ShardCaller {
  readonly #bus: Bus;
  readonly #directory: ShardDirectory;
  readonly #subject: (shard: number, epoch: number) => string;
  readonly #waiting = new Map<number, Call[]>();
  #sweep: NodeJS.Timeout | null = null;

  constructor(parts: { readonly bus: Bus; readonly directory: ShardDirectory; readonly subject: (shard: number, epoch: number) => string }) {
    this.#bus = parts.bus;
    this.#directory = parts.directory;
    this.#subject = parts.subject;
    parts.directory.onChange((shard) => this.#retry(shard, true));
    parts.bus.onStatus((connected) => {
      if (connected) for (const shard of [...this.#waiting.keys()]) this.#retry(shard, true);
    });
  }

  call(shard: number, payload: Buffer, options: CallOptions, done: CallDone): void {
    const call: Call = {
      shard,
      payload,
      timeoutMs: options.timeoutMs ?? TIMEOUT_MS,
      giveUpAtMs: performance.now() + (options.patienceMs ?? PATIENCE_MS),
      done,
      failedEpoch: 0,
      retryAtMs: 0,
      ambiguous: false,
    };
    if (this.#waiting.has(shard)) this.#wait(call);
    else this.#send(call);
  }

  #send(call: Call): void {
    const owner = this.#directory.owner(call.shard);
    if (!owner || !this.#bus.connected) return this.#wait(call);
    this.#bus.requestCallback(this.#subject(call.shard, owner.epoch), call.payload, call.timeoutMs, (error, answer) => {
      if (error === null) {
        if (!answer.subarray(0, FENCED.length).equals(FENCED)) return call.done(null, answer);
      } else if (error.kind === "timeout") return call.done(new CallError("timeout", call.shard), EMPTY);
      else if (error.kind === "disconnected") call.ambiguous = true;
      call.failedEpoch = owner.epoch;
      call.retryAtMs = performance.now() + RETRY_MS;
      this.#wait(call);
    });
  }

  #wait(call: Call): void {
    const calls = this.#waiting.get(call.shard);
    if (calls) calls.push(call);
    else this.#waiting.set(call.shard, [call]);
    this.#sweep ??= setInterval(() => this.#expire(), SWEEP_MS);
  }

  #retry(shard: number, changed: boolean): void {
    const calls = this.#waiting.get(shard);
    const owner = this.#directory.owner(shard);
    if (!calls || !owner || !this.#bus.connected) return;
    const now = performance.now();
    const blocked = calls.some((call) => call.failedEpoch === owner.epoch && call.retryAtMs > now && !changed);
    if (blocked) return;
    this.#waiting.delete(shard);
    for (const call of calls) this.#send(call);
  }

  #expire(): void {
    const now = performance.now();
    for (const [shard, calls] of [...this.#waiting]) {
      const late = calls.filter((call) => call.giveUpAtMs <= now);
      if (late.length > 0) {
        const rest = calls.filter((call) => call.giveUpAtMs > now);
        if (rest.length > 0) this.#waiting.set(shard, rest);
        else this.#waiting.delete(shard);
        for (const call of late) call.done(new CallError(call.ambiguous ? "timeout" : "unavailable", shard), EMPTY);
      }
      this.#retry(shard, false);
    }
    if (this.#waiting.size === 0 && this.#sweep) {
      clearInterval(this.#sweep);
      this.#sweep = null;
    }
  }
}
