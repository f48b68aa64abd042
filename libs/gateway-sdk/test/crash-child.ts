/** A gateway program for the crash test: no network, one task whose effect is a line in a file. Kills itself at a crash point. */
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { defineMethod, type Method } from "@hawser/csg-protocol";
import { type CrashPoint, GatewayMachine, JournaledRunner, JournalFile } from "@hawser/gateway-sdk";

const [directory, crashAt, ...ids] = process.argv.slice(2) as [string, CrashPoint | "never", ...string[]];
const work = defineMethod({ name: "work", lane: "task", idempotent: false, params: z.strictObject({}) }) as unknown as Method;
const journal = await JournalFile.open(directory, "install-1");
const machine = new GatewayMachine(journal.state, { bootId: "b", agent: { name: "c", version: "1" }, methods: new Map([["work", work]]) });
const runner = new JournaledRunner({
  machine,
  journal,
  now: Date.now,
  onFatal: (error) => {
    throw error;
  },
  crashPoint: (point) => {
    if (point === crashAt) process.kill(process.pid, "SIGKILL");
  },
  perform: (output) => {
    if (output.kind === "send" && output.message.k === "res") {
      const { id, error } = output.message;
      appendFileSync(join(directory, "results"), `${id} ${error?.reason ?? "OK"}\n`);
    }
    if (output.kind !== "run") return;
    appendFileSync(join(directory, "effects"), `${output.id}\n`);
    runner.tell({ kind: "finished", id: output.id, outcome: { result: 1 } });
  },
});
runner.tell({ kind: "boot" });
await runner.settled();
runner.tell({ kind: "connected" });
runner.tell({ kind: "down", message: { v: 1, k: "welcome", serverTime: Date.now(), resend: [], ack: [], desired: {} } });
for (const [n, id] of ids.entries()) {
  runner.tell({ kind: "down", message: { v: 1, k: "req", id, method: "work", params: {}, reply: "final", ttl: 60_000, att: 1, lane: "task", seq: n + 1 } });
}
await runner.settled();
await journal.close();
