/**
 * Verdicts on messages that have an order, given in any order: one counts when all before it are
 * decided, and after one that is not done none is.
 */
import type { Settle } from "./receiver.ts";

export function settleInOrder(count: number, settle: Settle): Settle {
  const verdicts = new Array<boolean | undefined>(count);
  let next = 0;
  let held = false;
  return (index, ok) => {
    verdicts[index] ??= ok;
    for (; next < count && (held || verdicts[next] !== undefined); next++) {
      held ||= verdicts[next] === false;
      settle(next, !held);
    }
  };
}
