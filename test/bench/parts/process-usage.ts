/** What processes have used, from /proc (Linux). */
import { readFileSync } from "node:fs";
import type { StackState } from "@hawser/stack";

/** Clock ticks per second: 100 on every Linux that Node runs on. */
const TICK_US = 10_000;

/** CPU time of a process since it began; 0 when it is gone. */
export function cpuMicroseconds(pid: number): number {
  const fields = statOf(`/proc/${pid}/stat`);
  return fields === null ? 0 : (Number(fields[11]) + Number(fields[12])) * TICK_US;
}

/** Busy CPU time of the whole machine. */
export function machineMicroseconds(): number {
  const [user, nice, system, , , irq, softIrq] = readFileSync("/proc/stat", "utf8").split("\n")[0]!.split(/\s+/).slice(1).map(Number);
  return (user! + nice! + system! + irq! + softIrq!) * TICK_US;
}

export function rssBytes(pid: number): number {
  const found = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(found?.[1] ?? 0) * 1024;
}

/** The fields behind the name of the program, which may hold anything. */
function statOf(path: string): string[] | null {
  try {
    const text = readFileSync(path, "utf8");
    return text.slice(text.lastIndexOf(")") + 2).split(" ");
  } catch {
    return null;
  }
}

export interface NamedProcess {
  readonly name: string;
  readonly pid: number;
}

export function processesOf({ pids }: StackState): NamedProcess[] {
  const many = (name: string, all: readonly number[]): NamedProcess[] => all.map((pid, index) => ({ name: all.length > 1 ? `${name}-${index}` : name, pid }));
  return [
    ...many("ingress", pids.ingress),
    { name: "nats", pid: pids.nats },
    ...many("router", pids.router),
    ...many("session", pids.session),
    ...many("csg-agent", pids.csgAgent),
    ...(pids.rocketmq === undefined ? [] : [{ name: "rocketmq", pid: pids.rocketmq }]),
  ];
}

/** CPU of some processes and of everything else between two moments. */
export class UsageMeter {
  readonly #processes: readonly NamedProcess[];
  readonly #own: readonly number[];
  readonly #atMs = performance.now();
  readonly #before: readonly number[];
  readonly #ownBefore: number;
  readonly #machineBefore = machineMicroseconds();

  /** @param own pids of the benchmark itself: neither of the stack nor "others" */
  constructor(processes: readonly NamedProcess[], own: readonly number[]) {
    this.#processes = processes;
    this.#own = own;
    this.#before = processes.map(({ pid }) => cpuMicroseconds(pid));
    this.#ownBefore = sum(own.map(cpuMicroseconds));
  }

  read(): Usage {
    const used = this.#processes.map(({ name, pid }, index) => ({ name, us: cpuMicroseconds(pid) - this.#before[index]! }));
    const own = sum(this.#own.map(cpuMicroseconds)) - this.#ownBefore;
    const machine = machineMicroseconds() - this.#machineBefore;
    const elapsedUs = (performance.now() - this.#atMs) * 1000;
    const others = Math.max(0, machine - own - sum(used.map(({ us }) => us)));
    return { used, own, seconds: elapsedUs / 1e6, otherCores: others / elapsedUs };
  }
}

export interface Usage {
  readonly used: readonly { readonly name: string; readonly us: number }[];
  /** Microseconds of the benchmark itself. */
  readonly own: number;
  readonly seconds: number;
  /** Cores taken by processes that are neither the stack nor the benchmark. */
  readonly otherCores: number;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
