import { filterMatches } from "@hawser/rules";
import fc from "fast-check";
import { expect, it } from "vitest";
import { FilterTree } from "../src/index.ts";

const level = fc.constantFrom("a", "b", "", "$SYS", "c");
const topic = fc.array(level, { minLength: 1, maxLength: 4 }).map((levels) => levels.join("/")).filter((text) => text !== "");
const filter = fc
  .tuple(fc.array(fc.oneof(level, fc.constant("+")), { minLength: 0, maxLength: 4 }), fc.boolean())
  .map(([levels, hash]) => [...levels, ...(hash ? ["#"] : [])].join("/"))
  .filter((text) => text !== "");

it("a tree finds exactly the filters that match, also after some were removed", () => {
  fc.assert(
    fc.property(fc.uniqueArray(filter, { maxLength: 12 }), fc.uniqueArray(filter, { maxLength: 6 }), topic, (filters, removed, name) => {
      const tree = new FilterTree<string, string>();
      for (const each of [...filters, ...removed]) tree.set(each, "owner", each);
      const kept = filters.filter((each) => !removed.includes(each));
      for (const each of removed) tree.delete(each, "owner");
      const found: string[] = [];
      tree.match(name, (_owner, value) => void found.push(value));
      expect(found.sort()).toEqual(kept.filter((each) => filterMatches(each, name)).sort());
    }),
    { numRuns: 500 },
  );
});

it("an owner's newer subscription to the same filter replaces the older", () => {
  const tree = new FilterTree<string, number>();
  tree.set("a/#", "x", 1);
  tree.set("a/#", "x", 2);
  const found: number[] = [];
  tree.match("a", (_owner, value) => void found.push(value));
  expect(found).toEqual([2]);
});
