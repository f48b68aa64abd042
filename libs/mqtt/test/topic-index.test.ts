import { filterMatches } from "@hawser/rules";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TopicIndex } from "../src/index.ts";

const name = fc.constantFrom("a", "b", "", "$SYS", "c");
const topics = fc.array(name, { minLength: 1, maxLength: 5 }).map((levels) => levels.join("/")).filter((topic) => topic !== "");
const filters = fc
  .tuple(fc.array(fc.oneof(name, fc.constant("+")), { minLength: 0, maxLength: 4 }), fc.boolean())
  .map(([levels, hash]) => [...levels, ...(hash ? ["#"] : [])].join("/"))
  .filter((filter) => filter !== "");
const steps = fc.array(fc.record({ add: fc.boolean(), filter: filters, subscriber: fc.nat(4), options: fc.nat(100) }), { maxLength: 40 });

describe("the topic index", () => {
  it("matches like a naive search over all subscriptions, after any adds and removes", () => {
    fc.assert(
      fc.property(steps, fc.array(topics, { minLength: 1, maxLength: 8 }), (changes, asked) => {
        const index = new TopicIndex<number, number>();
        const naive = new Map<string, Map<number, number>>();
        for (const { add, filter, subscriber, options } of changes) {
          const held = naive.get(filter);
          if (add) {
            expect(index.add(filter, subscriber, options)).toBe(!held ? "first" : held.has(subscriber) ? "replaced" : "added");
            naive.set(filter, (held ?? new Map<number, number>()).set(subscriber, options));
          } else {
            const there = held?.delete(subscriber) ?? false;
            expect(index.remove(filter, subscriber)).toBe(!there ? "absent" : held!.size === 0 ? "last" : "removed");
            if (held?.size === 0) naive.delete(filter);
          }
        }
        expect(index.filterCount).toBe(naive.size);
        for (const [filter, subscribers] of naive) expect(index.subscribersOf(filter)).toEqual(subscribers);
        for (const topic of asked) {
          const expected: string[] = [];
          const merged = new Map<number, number>();
          for (const [filter, subscribers] of naive) {
            if (!filterMatches(filter, topic)) continue;
            for (const [subscriber, options] of subscribers) {
              expected.push(`${subscriber}:${options}`);
              merged.set(subscriber, Math.max(options, merged.get(subscriber) ?? 0));
            }
          }
          const got: string[] = [];
          index.match(topic, (subscriber, options) => void got.push(`${subscriber}:${options}`));
          expect(got.sort()).toEqual(expected.sort());
          const gotMerged = new Map<number, number>();
          index.matchMerged(topic, Math.max, (subscriber, options) => void gotMerged.set(subscriber, options));
          expect(gotMerged).toEqual(merged);
          expect(index.hasMatch(topic)).toBe(expected.length > 0);
        }
      }),
      { numRuns: 400 },
    );
  });

  it.each([
    ["#", "$SYS/x", false],
    ["+/x", "$SYS/x", false],
    ["$SYS/#", "$SYS/x", true],
    ["$SYS/+", "$SYS/x", true],
    ["a/#", "a", true],
    ["a/#", "ab", false],
    ["+/+", "/finance", true],
    ["/+", "/finance", true],
    ["+", "/finance", false],
    ["a/+", "a", false],
    ["a//b", "a//b", true],
    ["a/+/b", "a//b", true],
  ])("says of filter %s and topic %s: %s", (filter, topic, matches) => {
    const index = new TopicIndex<string, null>();
    index.add(filter, "s", null);
    expect(index.hasMatch(topic)).toBe(matches);
  });

  it("stands filters and topics of thousands of levels", () => {
    const index = new TopicIndex<string, null>();
    const deep = Array.from({ length: 10_000 }, () => "+").join("/");
    index.add(deep, "s", null);
    expect(index.hasMatch(Array.from({ length: 10_000 }, () => "x").join("/"))).toBe(true);
    expect(index.hasMatch(Array.from({ length: 10_001 }, () => "x").join("/"))).toBe(false);
    expect(index.remove(deep, "s")).toBe("last");
    expect(index.filterCount).toBe(0);
  });

  it("lets 18,000 subscribers of one filter leave one by one at constant cost", () => {
    const index = new TopicIndex<number, null>();
    for (const filter of ["news", "news/+"]) {
      for (let i = 0; i < 18_000; i++) index.add(filter, i, null);
      const start = performance.now();
      for (let i = 0; i < 18_000; i++) index.remove(filter, i);
      // a splice per removal takes most of a second
      expect(performance.now() - start).toBeLessThan(300);
    }
    expect(index.filterCount).toBe(0);
  });

  it("lets a visitor unsubscribe, and match another topic meanwhile", () => {
    const index = new TopicIndex<string, null>();
    index.add("a", "one", null);
    index.add("+", "two", null);
    index.add("b", "three", null);
    const seen: string[] = [];
    index.match("a", (subscriber) => {
      seen.push(subscriber);
      index.remove("a", "one");
      index.match("b", (inner) => void seen.push(`b ${inner}`));
    });
    expect(seen.sort()).toEqual(["b three", "b three", "b two", "b two", "one", "two"]);
  });
});
