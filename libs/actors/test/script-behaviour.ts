/** An actor that does what a message says: keeps records, says lines, throws. */
import { setTimeout as sleep } from "node:timers/promises";
import type { ActorKey, Behaviour, RecordWrite } from "../src/index.ts";
import { actorToken } from "@hawser/wire";

export interface Order {
  /** Suffix and text, null deletes. */
  readonly write?: readonly (readonly [suffix: string, text: string | null])[];
  readonly say?: readonly string[];
  readonly throws?: "receive" | "perform";
}

export interface Notes {
  readonly records: Map<string, string>;
  turns: number;
}

export class ScriptBehaviour implements Behaviour<Notes, Order, string> {
  /** `client: line`, in the order they left. */
  readonly said: string[] = [];
  readonly created: string[] = [];
  /** One entry per call of perform. */
  performs = 0;
  createThrows = false;
  mayRest = true;
  onSay: (line: string, key: ActorKey) => void = () => undefined;

  create(key: ActorKey, records: readonly { suffix: string; value: Buffer }[]): Notes {
    if (this.createThrows) throw new Error("create");
    this.created.push(key.clientId);
    return { records: new Map(records.map(({ suffix, value }) => [suffix, value.toString()])), turns: 0 };
  }

  receive(state: Notes, order: Order): { writes: RecordWrite[]; effects: string[] } {
    state.turns++;
    const writes: RecordWrite[] = [];
    for (const [suffix, text] of order.write ?? []) {
      if (text === null) state.records.delete(suffix);
      else state.records.set(suffix, text);
      writes.push({ suffix, value: text === null ? null : Buffer.from(text) });
    }
    if (order.throws === "receive") throw new Error("receive");
    return { writes, effects: [...(order.say ?? []), ...(order.throws === "perform" ? ["!"] : [])] };
  }

  perform(effects: readonly string[], key: ActorKey): void {
    this.performs++;
    for (const line of effects) {
      if (line === "!") throw new Error("perform");
      this.said.push(`${key.clientId}: ${line}`);
      this.onSay(line, key);
    }
  }

  idle(): boolean {
    return this.mayRest;
  }
}

export function keyOf(clientId: string, shard = 3): ActorKey {
  return { instance: "default", clientId, shard, token: actorToken("default", clientId) };
}

export async function until(condition: () => boolean | Promise<boolean>, what: string, withinMs = 10_000): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}`);
    await sleep(3);
  }
}
