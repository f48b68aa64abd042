import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { packetIdOf } from "../src/session-link.ts";

describe("the packet id of a stored message", () => {
  it("is a legal one, depends on the position alone, and differs between neighbours of a whole window", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER - 65_535 }), fc.integer({ min: 1, max: 65_534 }), (position, further) => {
        const id = packetIdOf(position);
        expect(id).toBeGreaterThanOrEqual(1);
        expect(id).toBeLessThanOrEqual(65_535);
        expect(packetIdOf(position)).toBe(id);
        expect(packetIdOf(position + further)).not.toBe(id);
      }),
    );
  });

  it("is left to the connection for a message that is not stored", () => {
    expect(packetIdOf(0)).toBe(0);
  });
});
