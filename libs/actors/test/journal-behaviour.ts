import type { ActorKey, Behaviour, Turn } from "../src/index.ts";

/** Appends numbers to its record, and says each when it is stored. Every third has a record of its own. */
export class JournalBehaviour implements Behaviour<{ numbers: number[] }, number, number> {
  readonly said = new Map<string, number[]>();
  onSay: (number: number, key: ActorKey) => void = () => undefined;

  create(_: ActorKey, records: readonly { suffix: string; value: Buffer }[]): { numbers: number[] } {
    return { numbers: numbersOf(records.find(({ suffix }) => suffix === "")?.value) };
  }

  /** A negative number throws, once its state is spoilt. */
  receive(state: { numbers: number[] }, number: number): Turn<number> {
    state.numbers.push(number);
    if (number < 0) throw new Error("receive");
    const writes = [{ suffix: "", value: Buffer.from(state.numbers.join(" ")) }];
    if (number % 3 === 0) writes.push({ suffix: `n${number}`, value: Buffer.from("") });
    return { writes, effects: [number] };
  }

  perform(effects: readonly number[], key: ActorKey): void {
    for (const number of effects) {
      this.said.set(key.clientId, [...(this.said.get(key.clientId) ?? []), number]);
      this.onSay(number, key);
    }
  }

  idle(): boolean {
    return true;
  }
}

export function numbersOf(value: Buffer | undefined): number[] {
  return value === undefined || value.length === 0 ? [] : value.toString().split(" ").map(Number);
}
