/**
 * Runs the machine: one turn after the other, its journal entries on disk before its effects
 * happen. Turns that wait while the disk is busy share the next write and the next sync.
 */
import type { GatewayInput, GatewayOutput, GatewayTurn } from "./gateway-messages.ts";
import type { GatewayMachine } from "./gateway-machine.ts";
import type { JournalFile } from "./journal-file.ts";

/** Moments a test may kill the program at. */
export type CrashPoint = "before-started" | "after-started" | "before-done" | "after-done";

export interface RunnerOptions {
  readonly machine: GatewayMachine;
  readonly journal: JournalFile;
  readonly now: () => number;
  readonly perform: (output: GatewayOutput) => void;
  /** The journal cannot be written: nothing may be run any more. */
  readonly onFatal: (error: unknown) => void;
  readonly crashPoint?: (point: CrashPoint, id: string) => void;
}

export class JournaledRunner {
  readonly #options: RunnerOptions;
  #waiting: GatewayTurn[] = [];
  #writing: Promise<void> | null = null;
  #failed = false;

  constructor(options: RunnerOptions) {
    this.#options = options;
  }

  tell(input: GatewayInput): void {
    if (this.#failed) return;
    const turn = this.#options.machine.receive(input, this.#options.now());
    if (turn.entries.length === 0 && turn.outputs.length === 0) return;
    if (turn.entries.length === 0 && this.#writing === null) {
      this.#perform(turn);
      return;
    }
    this.#waiting.push(turn);
    this.#writing ??= this.#write();
  }

  /** Everything told so far is on disk and done. */
  async settled(): Promise<void> {
    while (this.#writing) await this.#writing;
  }

  async #write(): Promise<void> {
    const { journal, now, onFatal, crashPoint } = this.#options;
    try {
      while (this.#waiting.length > 0) {
        const turns = this.#waiting;
        this.#waiting = [];
        const entries = turns.flatMap((turn) => turn.entries);
        if (crashPoint) mark(turns, "before", crashPoint);
        if (entries.length > 0) {
          const sync = turns.some((turn) => turn.sync);
          await journal.append(entries, sync);
        }
        if (crashPoint) mark(turns, "after", crashPoint);
        for (const turn of turns) this.#perform(turn);
        await journal.compact(now());
      }
    } catch (error) {
      this.#failed = true;
      onFatal(error);
    } finally {
      this.#writing = null;
    }
  }

  #perform(turn: GatewayTurn): void {
    for (const output of turn.outputs) this.#options.perform(output);
  }
}

function mark(turns: readonly GatewayTurn[], when: "before" | "after", crashPoint: NonNullable<RunnerOptions["crashPoint"]>): void {
  for (const turn of turns) {
    for (const entry of turn.entries) {
      if (entry.t === "started" || entry.t === "done") crashPoint(`${when}-${entry.t}`, entry.id);
    }
  }
}
