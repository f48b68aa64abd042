import fc from "fast-check";
import { expect, it } from "vitest";
import { settleInOrder } from "../src/settle-in-order.ts";

it("settles each once and in order, and nothing as done after one that is not, whatever comes first", () => {
  const verdicts = fc.array(fc.boolean(), { minLength: 1, maxLength: 32 }).chain((oks) =>
    fc.shuffledSubarray(oks.map((ok, index) => ({ index, ok })), { minLength: oks.length }).map((given) => ({ oks, given })),
  );
  fc.assert(
    fc.property(verdicts, ({ oks, given }) => {
      const settled: boolean[] = [];
      const settle = settleInOrder(oks.length, (index, ok) => {
        expect(index).toBe(settled.length);
        settled.push(ok);
      });
      const told = new Set<number>();
      for (const { index, ok } of given) {
        settle(index, ok);
        settle(index, !ok);
        told.add(index);
        // only what was said, or what waits behind one that failed
        const known = oks.findIndex((each, at) => !told.has(at) || !each);
        expect(settled.filter(Boolean).length).toBe(known === -1 ? oks.length : known);
      }
      const bad = oks.indexOf(false);
      expect(settled).toEqual(oks.map((_, at) => bad === -1 || at < bad));
    }),
  );
});
