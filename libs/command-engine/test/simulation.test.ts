/** csg.md's promises, over many random lives. A failure prints its seed: SIM_SEED=<n> repeats it. */
import { describe, expect, it } from "vitest";
import { isFinal } from "@hawser/csg-protocol";
import { Simulation, type SimulationOptions } from "./simulation.ts";

const base = process.env.SIM_SEED === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(process.env.SIM_SEED);
const lives = Number(process.env.SIM_LIVES ?? (process.env.SIM_SEED === undefined ? 6 : 1));

function live(options: Omit<SimulationOptions, "seed">): void {
  for (let n = 0; n < lives; n++) {
    const seed = base + n;
    const lines: string[] = [];
    const simulation = new Simulation({ ...options, seed, ...(process.env.SIM_TRACE ? { trace: (line) => lines.push(line) } : {}) });
    simulation.run();
    const problems = problemsOf(simulation);
    if (problems.length > 0 && process.env.SIM_TRACE) console.log(lines.filter((line) => problems.some((problem) => line.includes(problem.slice(0, 4)) || line.includes("CRASH"))).join("\n"));
    expect(problems, `SIM_SEED=${seed}`).toEqual([]);
  }
}

function problemsOf({ submitted, state }: Simulation): string[] {
  const problems: string[] = [];
  for (const [id, { request, runs, finals }] of submitted) {
    const say = (what: string): unknown => problems.push(`${id.slice(-4)} ${request.method}: ${what}`);
    const command = state.commands.get(id);
    if (!command) {
      say("lost");
      continue;
    }
    const idempotent = request.method === "sim.read" || request.method === "sim.redo";
    if (!isFinal(command.state)) say(`still ${command.state}`);
    if (runs > 1 && !idempotent) say(`ran ${runs} times`);
    if (command.state === "SUCCEEDED" && runs === 0) say("succeeded but never ran");
    if ((command.state === "EXPIRED" || command.state === "REJECTED") && runs > 0) say(`${command.state} (${command.error?.reason}) but ran`);
    if (request.reply === "none") {
      if (finals.length > 0) say("a reply nobody asked for");
      continue;
    }
    if (finals.length === 0) say("no final reply");
    const byNumber = new Map<number, string>();
    for (const final of finals) {
      const known = byNumber.get(final.n);
      if (known !== undefined && known !== final.code) say(`final ${final.n} was ${known} and ${final.code}`);
      byNumber.set(final.n, final.code);
      if (final.n > 1 && !final.late) say("a second final that is not marked late");
    }
    if (byNumber.size > 1 && byNumber.get(1) !== undefined && byNumber.get(1) !== "UNKNOWN") say(`${byNumber.get(1)} was replaced`);
    const last = byNumber.get(Math.max(...byNumber.keys()));
    if (last !== (command.error?.code ?? "OK")) say(`told ${last}, is ${command.state}`);
  }
  return problems;
}

describe("commands of a gateway, simulated", () => {

  it("without any fault every command ends as its handler did", () => {
    const simulation = new Simulation({ seed: base, commands: 60, loss: 0, duplicates: 0, actorCrashEveryMs: Number.POSITIVE_INFINITY, deviceCrashEveryMs: Number.POSITIVE_INFINITY });
    simulation.run();
    expect(problemsOf(simulation), `SIM_SEED=${base}`).toEqual([]);
  });

  it("with loss and duplicates nothing runs twice, nothing stays open", () => {
    live({ commands: 120, loss: 0.25, duplicates: 0.1, actorCrashEveryMs: Number.POSITIVE_INFINITY, deviceCrashEveryMs: Number.POSITIVE_INFINITY });
  });

  it("with crashes of actor and gateway on top nothing runs twice, nothing stays open, nothing expired has run", () => {
    live({ commands: 150, loss: 0.25, duplicates: 0.1, actorCrashEveryMs: 6_000, deviceCrashEveryMs: 4_000 });
  });

  it("five times the crashes", () => {
    live({ commands: 150, loss: 0.1, duplicates: 0.1, actorCrashEveryMs: 2_000, deviceCrashEveryMs: 1_500 });
  });
});
