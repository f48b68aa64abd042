/**
 * Asking the owner of a shard.
 *
 * A call that finds no owner, nobody listening, or an owner that says it is fenced, was certainly not
 * done: it is held. Held calls of a shard keep their order, and later calls of the shard queue behind
 * them. Only the first one is tried: at once when the directory shows another epoch, else every 50 ms
 * (interest in a subject may travel slower than the record, an owner may still be loading). The others
 * follow when it is answered, or was not refused within 100 ms: thousands of held calls are no storm,
 * and no held call is done before one that was called earlier (calls on their way to an owner that
 * refuses one and takes the next are another matter). A call whose answer is overdue fails: it may
 * have been done.
 */
import type { Bus, BusError } from "@hawser/bus";
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
  /** Order of the calls. */
  readonly number: number;
  readonly shard: number;
  readonly payload: Buffer;
  readonly timeoutMs: number;
  readonly giveUpAtMs: number;
  readonly done: CallDone;
  /** A try was cut off by a lost connection: it may have been done. */
  ambiguous: boolean;
}

/** Held calls of one shard. */
interface Line {
  /** In the order of their numbers. */
  calls: Call[];
  probe: Call | null;
  probeSentAtMs: number;
  failedEpoch: number;
  retryAtMs: number;
}

const TIMEOUT_MS = 5_000;
const PATIENCE_MS = 10_000;
const RETRY_MS = 50;
const PROBE_MS = 100;
const SWEEP_MS = 25;
const EMPTY = Buffer.alloc(0);
const FENCED = Buffer.from('{"ok":false,"code":"fenced"');
/** Where `false` begins: looked at first, because nearly every answer says `true`. */
const FENCED_AT = 6;

export class ShardCaller {
  readonly #bus: Bus;
  readonly #directory: ShardDirectory;
  readonly #subject: (shard: number, epoch: number) => string;
  readonly #lines = new Map<number, Line>();
  #number = 0;
  #sweep: NodeJS.Timeout | null = null;

  constructor(parts: { readonly bus: Bus; readonly directory: ShardDirectory; readonly subject: (shard: number, epoch: number) => string }) {
    this.#bus = parts.bus;
    this.#directory = parts.directory;
    this.#subject = parts.subject;
    parts.directory.onChange((shard) => this.#advance(shard, performance.now()));
    parts.bus.onStatus((connected) => {
      if (!connected) return;
      for (const [shard, line] of [...this.#lines]) {
        line.failedEpoch = 0;
        this.#advance(shard, performance.now());
      }
    });
  }

  /** @param done called once; the answer is the owner's, never one that says `fenced` */
  call(shard: number, payload: Buffer, options: CallOptions, done: CallDone): void {
    const call: Call = {
      number: ++this.#number,
      shard,
      payload,
      timeoutMs: options.timeoutMs ?? TIMEOUT_MS,
      giveUpAtMs: performance.now() + (options.patienceMs ?? PATIENCE_MS),
      done,
      ambiguous: false,
    };
    if (this.#lines.has(shard)) this.#hold(call);
    else this.#send(call);
  }

  #send(call: Call): void {
    const owner = this.#directory.owner(call.shard);
    if (!owner || !this.#bus.connected) return void this.#hold(call);
    this.#bus.requestCallback(this.#subject(call.shard, owner.epoch), call.payload, call.timeoutMs, (error, answer) =>
      this.#answered(call, owner.epoch, error, answer),
    );
  }

  #answered(call: Call, epoch: number, error: BusError | null, answer: Buffer): void {
    const line = this.#lines.get(call.shard);
    const probed = line?.probe === call;
    if (probed) line.probe = null;
    if (error === null ? !saysFenced(answer) : error.kind === "timeout") {
      if (probed) this.#release(call.shard, line);
      return error === null ? call.done(null, answer) : call.done(new CallError("timeout", call.shard), EMPTY);
    }
    if (error?.kind === "disconnected") call.ambiguous = true;
    const held = this.#hold(call);
    held.failedEpoch = Math.max(held.failedEpoch, epoch);
    held.retryAtMs = performance.now() + RETRY_MS;
    // the directory may have learned of a newer owner while this one was refused
    this.#advance(call.shard, performance.now());
  }

  #hold(call: Call): Line {
    let line = this.#lines.get(call.shard);
    if (!line) this.#lines.set(call.shard, (line = { calls: [], probe: null, probeSentAtMs: 0, failedEpoch: 0, retryAtMs: 0 }));
    let at = line.calls.length;
    while (at > 0 && line.calls[at - 1]!.number > call.number) at--;
    line.calls.splice(at, 0, call);
    this.#sweep ??= setInterval(() => this.#expire(), SWEEP_MS);
    return line;
  }

  #advance(shard: number, nowMs: number): void {
    const line = this.#lines.get(shard);
    const owner = this.#directory.owner(shard);
    if (!line || !owner || !this.#bus.connected) return;
    if (line.probe) {
      if (nowMs - line.probeSentAtMs >= PROBE_MS) this.#release(shard, line);
    } else if (line.calls.length === 0) {
      this.#lines.delete(shard);
    } else if (owner.epoch !== line.failedEpoch || nowMs >= line.retryAtMs) {
      line.probe = line.calls.shift()!;
      line.probeSentAtMs = nowMs;
      this.#send(line.probe);
    }
  }

  #release(shard: number, line: Line): void {
    this.#lines.delete(shard);
    for (const call of line.calls) this.#send(call);
  }

  #expire(): void {
    const nowMs = performance.now();
    for (const [shard, line] of [...this.#lines]) {
      const late = line.calls.filter((call) => call.giveUpAtMs <= nowMs);
      if (late.length > 0) line.calls = line.calls.filter((call) => call.giveUpAtMs > nowMs);
      if (line.calls.length === 0 && line.probe === null) this.#lines.delete(shard);
      for (const call of late) call.done(new CallError(call.ambiguous ? "timeout" : "unavailable", shard), EMPTY);
      this.#advance(shard, nowMs);
    }
    if (this.#lines.size === 0 && this.#sweep) {
      clearInterval(this.#sweep);
      this.#sweep = null;
    }
  }
}

function saysFenced(answer: Buffer): boolean {
  return answer.length >= FENCED.length && answer[FENCED_AT] === 0x66 && answer.compare(FENCED, 0, FENCED.length, 0, FENCED.length) === 0;
}
