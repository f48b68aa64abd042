/**
 * Requests that wait for a turn of their actor to be safe: the machine knows them by a number. One
 * whose actor was lost is never answered; its caller asks the next owner.
 */
import type { Answer } from "@hawser/wire";

/** Longer than any caller waits. */
const FORGET_AFTER_MS = 30_000;

export type AnswerCallback = (answer: Answer<{ readonly [member: string]: unknown }>) => void;

export class PendingAnswers {
  readonly #waiting = new Map<number, { readonly done: AnswerCallback; readonly since: number }>();
  #next = 1;

  add(done: AnswerCallback, now: number): number {
    const number = this.#next++;
    this.#waiting.set(number, { done, since: now });
    return number;
  }

  answer(number: number, answer: Parameters<AnswerCallback>[0]): void {
    const waiting = this.#waiting.get(number);
    if (!waiting) return;
    this.#waiting.delete(number);
    waiting.done(answer);
  }

  /** Oldest first: a Map keeps the order of its keys. */
  sweep(now: number): void {
    for (const [number, { since }] of this.#waiting) {
      if (since + FORGET_AFTER_MS > now) return;
      this.#waiting.delete(number);
    }
  }
}
