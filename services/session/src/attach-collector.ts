import type { AttachOutcome } from "@hawser/wire";

/** Gathers what became of each connection of one list, and answers when all are decided. */
export class AttachCollector {
  #left: number;
  readonly #refused: { connection: number; reason: string }[] = [];
  readonly #done: (refused: AttachOutcome["refused"]) => void;

  constructor(count: number, done: (refused: AttachOutcome["refused"]) => void) {
    this.#left = count;
    this.#done = done;
    if (count === 0) queueMicrotask(() => done([]));
  }

  /** @param refused why, or null: it goes on */
  add(connection: number, refused: string | null): void {
    if (refused !== null) this.#refused.push({ connection, reason: refused });
    if (--this.#left === 0) this.#done(this.#refused);
  }
}
