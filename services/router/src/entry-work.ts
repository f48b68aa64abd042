/** How much of a log entry is still open for one destination. */
export class EntryWork {
  readonly sequence: number;
  readonly #finished: (sequence: number) => void;
  /** One for the entry itself, until everything of it has been counted. */
  #open = 1;

  constructor(sequence: number, finished: (sequence: number) => void) {
    this.sequence = sequence;
    this.#finished = finished;
  }

  begin(): void {
    this.#open++;
  }

  /** Of one begin(), or of the entry itself. */
  end(): void {
    if (--this.#open === 0) this.#finished(this.sequence);
  }
}
