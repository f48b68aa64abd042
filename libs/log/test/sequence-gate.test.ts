import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DoneTracker } from "../src/done-tracker.ts";
import { SequenceGate } from "../src/index.ts";

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

function gateOf<T>(next: Record<string, number> = {}) {
  const passed: [number, T | null][] = [];
  const settled: [number, number][] = [];
  const sink = {
    passed: (_: string, number: number, item: T | null) => void passed.push([number, item]),
    settled: (_: string, from: number, to: number) => void settled.push([from, to]),
  };
  return { gate: new SequenceGate<T>(sink, next), passed, settled };
}

describe("the gate", () => {
  it("lets every number through once and in order, whatever the log looks like", () => {
    fc.assert(
      fc.property(log, (numbers) => {
        const { gate, passed } = gateOf<number>();
        for (const number of numbers) gate.offer("o", number, 1, number, 0);
        expect(passed.map(([number]) => number)).toEqual(Array.from({ length: Math.max(...numbers) }, (_, at) => at + 1));
        expect(passed.every(([number, item]) => number === item)).toBe(true);
        expect(gate.heldCount).toBe(0);
      }),
    );
  });

  it("keeps origins apart", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.constantFrom("a", "b", "c"), log), { minLength: 1, maxLength: 3 }), fc.infiniteStream(fc.nat(2)), (logs, picks) => {
        const queues = new Map<string, number[]>(logs.map(([origin, numbers]) => [origin, [...numbers]]));
        const passed = new Map<string, number[]>([...queues.keys()].map((origin) => [origin, []]));
        const gate = new SequenceGate<null>({ passed: (origin, number) => void passed.get(origin)!.push(number), settled: () => undefined });
        for (const pick of picks) {
          const waiting = [...queues].filter(([, numbers]) => numbers.length > 0);
          if (waiting.length === 0) break;
          const [origin, numbers] = waiting[pick % waiting.length]!;
          gate.offer(origin, numbers.shift()!, 1, null, 0);
        }
        for (const [origin, numbers] of new Map(logs)) {
          expect(passed.get(origin)).toEqual(Array.from({ length: Math.max(...numbers) }, (_, at) => at + 1));
        }
      }),
    );
  });

  it("drops a late append whose number a void has taken", () => {
    const { gate, passed } = gateOf<string>();
    expect(gate.offer("o", 2, 1, "two", 5)).toBe("held");
    expect(gate.gaps()).toEqual([{ origin: "o", missing: [1], sinceMs: 5 }]);
    expect(gate.offer("o", 1, 1, null, 5)).toBe("passed");
    expect(gate.offer("o", 1, 1, "one", 5)).toBe("dropped");
    expect(passed).toEqual([[1, null], [2, "two"]]);
  });

  it("does not wait for what its origin says stands earlier in the log", () => {
    const { gate, passed, settled } = gateOf<string>();
    expect(gate.offer("o", 5000, 4999, "a", 0)).toBe("held");
    expect(settled).toEqual([[1, 4999]]);
    expect(gate.gaps()).toMatchObject([{ missing: [4999] }]);
    expect(gate.offer("o", 5001, 5000, "b", 0)).toBe("passed");
    expect(passed).toEqual([[5000, "a"], [5001, "b"]]);
    expect(gate.offer("o", 4999, 1, "late", 0)).toBe("dropped");
    expect(settled).toEqual([[1, 4999], [4999, 5000]]);
  });

  it("wherever reading begins, lets everything through that stands there and that a full reader has not had before", () => {
    fc.assert(
      fc.property(log, fc.nat(30), (numbers, from) => {
        // what an origin may say: everything below its lowest number that is not in the log yet
        const entries = numbers.map((number, at) => {
          const before = new Set(numbers.slice(0, at));
          let settledBelow = 1;
          while (settledBelow < number && before.has(settledBelow)) settledBelow++;
          return { number, settledBelow };
        });
        const full = gateOf<number>();
        for (const { number, settledBelow } of entries) full.gate.offer("o", number, settledBelow, number, 0);
        expect(full.passed.map(([number]) => number)).toEqual(Array.from({ length: Math.max(...numbers) }, (_, at) => at + 1));
        expect(full.settled).toEqual([]);

        const late = gateOf<number>();
        const tail = entries.slice(from);
        for (const { number, settledBelow } of tail) late.gate.offer("o", number, settledBelow, number, 0);
        late.gate.settle("o", Math.max(0, ...numbers) + 1, 0);
        const seenBefore = new Set(numbers.slice(0, from));
        const firstTime = [...new Set(tail.map(({ number }) => number))].filter((number) => !seenBefore.has(number));
        const got = late.passed.map(([number]) => number);
        expect(got).toEqual([...got].sort((a, b) => a - b));
        for (const number of firstTime) expect(got).toContain(number);
        expect(late.gate.heldCount).toBe(0);
      }),
    );
  });
});

describe("the cursor", () => {
  it("after a crash anywhere, nothing undone lies before it and everything done and repeated is dropped", () => {
    fc.assert(
      fc.property(log, fc.array(fc.nat(1000), { minLength: 60, maxLength: 60 }), fc.nat(60), (numbers, order, crashAfter) => {
        const { gate, passed } = gateOf<number>();
        const tracker = new DoneTracker(0, {});
        numbers.forEach((number, at) => {
          const verdict = gate.offer("o", number, 1, number, 0);
          tracker.read(at + 1, "o", number, verdict === "dropped");
        });
        const handed = passed.map(([number]) => number);
        const finished = handed.map((number, at) => ({ number, key: order[at]! })).sort((a, b) => a.key - b.key).slice(0, crashAfter);
        for (const { number } of finished) tracker.done("o", number);
        // the next owner starts at the cursor
        const doneNext = tracker.snapshot(() => true);
        const again = gateOf<number>(doneNext);
        for (const number of numbers.slice(tracker.cursor)) again.gate.offer("o", number, 1, number, 0);
        const redone = again.passed.map(([number]) => number);
        const done = new Set(finished.map(({ number }) => number));
        for (const number of handed) if (!done.has(number)) expect(redone).toContain(number);
        for (const number of redone) expect(number).toBeGreaterThanOrEqual(doneNext.o ?? 1);
        expect(again.gate.heldCount).toBe(0);
        expect(tracker.unfinished).toBe(numbers.length - tracker.cursor);
      }),
    );
  });

  it("moves to the end when everything is done, in whatever order", () => {
    fc.assert(
      fc.property(log, fc.array(fc.nat(1000), { minLength: 60, maxLength: 60 }), (numbers, order) => {
        const { gate, passed } = gateOf<number>();
        const tracker = new DoneTracker(0, {});
        numbers.forEach((number, at) => tracker.read(at + 1, "o", number, gate.offer("o", number, 1, number, 0) === "dropped"));
        for (const { number } of passed.map(([number], at) => ({ number, key: order[at]! })).sort((a, b) => a.key - b.key)) tracker.done("o", number);
        expect(tracker.cursor).toBe(numbers.length);
        expect(tracker.snapshot(() => false)).toEqual({});
      }),
    );
  });
});
