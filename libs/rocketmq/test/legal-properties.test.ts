import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { legalGroup, legalKeys, legalProperties, legalTag } from "../src/index.ts";

describe("legal properties", () => {
  it("lets legal ones through untouched", () => {
    const properties = [["clientId", "GID@@@d"], ["emoji", "💡"]] as const;
    expect(legalProperties(properties)).toEqual({ properties, dropped: 0, encoded: 0 });
    expect(legalProperties(properties).properties).toBe(properties);
  });

  it("drops reserved and illegal keys, keeps the last of a repeated one, encodes what cannot cross", () => {
    const { properties, dropped, encoded } = legalProperties([["KEYS", "x"], ["", "y"], ["a\u0001", "z"], ["k", "1"], ["k", "2"], ["empty", ""], ["line", "a\nb%"]]);
    expect(properties).toEqual([["k", "2"], ["empty", "%"], ["line", "a%0Ab%25"], ["mqtt5-encoded", "empty,line"]]);
    expect([dropped, encoded]).toEqual([4, 2]);
  });

  it("keeps within the server's limits whatever comes", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.string({ maxLength: 40 }), fc.string({ maxLength: 400 })), { maxLength: 250 }), (given) => {
        const { properties } = legalProperties(given);
        expect(properties.length).toBeLessThanOrEqual(120);
        expect(properties.reduce((sum, [key, value]) => sum + Buffer.byteLength(key) + Buffer.byteLength(value) + 2, 0)).toBeLessThan(16_384);
        expect(properties.every(([key, value]) => key !== "" && value !== "" && !/[\u0000-\u001f\u007f-\u009f]/.test(key + value))).toBe(true);
      }),
    );
  });

  it("makes tags, keys and message groups legal", () => {
    expect([legalTag("a|b"), legalTag(" plain "), legalTag("ok")]).toEqual(["a_b", "plain", "ok"]);
    expect(legalKeys(["a", " ", "b\n", "c"])).toEqual(["a", "c"]);
    expect(legalGroup("GID@@@device")).toBe("GID@@@device");
    expect(legalGroup("x".repeat(64))).toMatch(/^[0-9a-f]{32}$/);
    expect(legalGroup("é".repeat(32))).toMatch(/^[0-9a-f]{32}$/);
    expect(legalGroup("x".repeat(63))).toBe("x".repeat(63));
  });
});
