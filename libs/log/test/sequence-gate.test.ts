import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DoneTracker, SequenceGate } from "../src/index.ts";

/** A log as retries leave it: every number at least once, some twice, neighbours swapped. */
const log = fc
  .record({ count: fc.integer({ min: 1, max: 30 }), keys: fc.array(fc.nat(1000), { minLength: 60, maxLength: 60 }) })
  .map(({ count, keys }) => {
    const copies: { number: number; key: number }[] = [];
    for (let number = 1; number <= count; number++) {
      copies.push({ number, key: number * 10 + (keys[number % 60]! % 25) });
      if (keys[(number * 7) % 60]! % 4 === 0) copies.push({ number, key: number * 10 + (keys[(number * 3) % 60]! % 60) });
    }
    return copies.sort((a, b) => a.key - b.key).map(({ number }) => number);
  });

describe("the gate", () => {
  it("lets every number through once and in order, whatever the log looks like", () => {
    fc.assert(
      fc.property(log, (numbers) => {
        const gate = new SequenceGate<number>();
        const passed: number[] = [];
        for (const number of numbers) gate.offer("o", number, number, 0, (passedNumber) => passed.push(passedNumber));
        expect(passed).toEqual(Array.from({ length: Math.max(...numbers) }, (_, at) => at + 1));
        expect(gate.heldCount).toBe(0);
      }),
    );
  });

  it("drops a late append whose number a void has taken", () => {
    const gate = new SequenceGate<string>();
    const passed: (string | null)[] = [];
    const offer = (number: number, item: string | null) => gate.offer("o", number, item, 5, (_, value) => passed.push(value));
    expect(offer(2, "two")).toBe("held");
    expect(gate.gaps()).toEqual([{ origin: "o", missing: [1], sinceMs: 5 }]);
    expect(offer(1, null)).toBe("passed");
    expect(offer(1, "one")).toBe("dropped");
    expect(passed).toEqual([null, "two"]);
  });
});

describe("the cursor", () => {
  it("after a crash anywhere, nothing undone lies before it and everything done and repeated is dropped", () => {
    fc.assert(
      fc.property(log, fc.array(fc.nat(1000), { minLength: 60, maxLength: 60 }), fc.nat(60), (numbers, order, crashAfter) => {
        const gate = new SequenceGate<number>();
        const tracker = new DoneTracker(0, {});
        const handed: number[] = [];
        numbers.forEach((number, at) => {
          const verdict = gate.offer("o", number, number, 0, (passedNumber) => handed.push(passedNumber));
          tracker.read(at + 1, "o", number, verdict === "dropped");
        });
        const finished = handed.map((number, at) => ({ number, key: order[at]! })).sort((a, b) => a.key - b.key).slice(0, crashAfter);
        for (const { number } of finished) tracker.done("o", number);
        // the next owner starts at the cursor
        const doneNext = tracker.snapshot(() => true);
        const again = new SequenceGate<number>(doneNext);
        const redone: number[] = [];
        for (const number of numbers.slice(tracker.cursor)) again.offer("o", number, number, 0, (passedNumber) => redone.push(passedNumber));
        const done = new Set(finished.map(({ number }) => number));
        for (const number of handed) if (!done.has(number)) expect(redone).toContain(number);
        for (const number of redone) expect(number).toBeGreaterThanOrEqual(doneNext.o ?? 1);
        expect(again.heldCount).toBe(0);
      }),
    );
  });
});
