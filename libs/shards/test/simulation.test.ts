import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Simulation, STALE_BOUND_MS } from "./simulation.ts";

describe("a cluster under crashes, pauses, cuts, losses and lost answers", () => {
  it("has one owner per shard and epoch, no owner that does not know it is stale, and heals", () => {
    const totals = { claims: 0, staleMs: 0, serving: 0, faults: 0, runs: 0 };
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xffff_ffff }), (seed) => {
        const simulation = new Simulation(seed);
        const violations = simulation.run(60_000);
        if (violations.length > 0) throw new Error(`seed ${seed}: ${violations.slice(0, 5).join("; ")}`);
        totals.runs++;
        for (const key of ["claims", "serving", "faults"] as const) totals[key] += simulation.counts[key];
        totals.staleMs = Math.max(totals.staleMs, simulation.counts.staleMs);
      }),
      { numRuns: 120, endOnFailure: true },
    );
    // the runs were not empty: shards moved, members served, and some were stale for a moment
    expect(totals.faults / totals.runs).toBeGreaterThan(10);
    expect(totals.claims / totals.runs).toBeGreaterThan(40);
    expect(totals.serving / totals.runs).toBeGreaterThan(1_000);
    expect(totals.staleMs).toBeGreaterThan(0);
    expect(totals.staleMs).toBeLessThan(STALE_BOUND_MS);
  });

  it("runs the same way for the same seed", () => {
    const runs = [1, 1, 2].map((seed) => {
      const simulation = new Simulation(seed);
      simulation.run(20_000);
      return JSON.stringify([...simulation.records, simulation.counts, simulation.violations]);
    });
    expect(runs[0]).toBe(runs[1]);
    expect(runs[0]).not.toBe(runs[2]);
  });
});
