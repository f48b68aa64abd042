/** Commands to several gateways at a steady rate: quick ones that may run again, and slow ones that must not. */
import { setTimeout as sleep } from "node:timers/promises";
import { newUuidV7 } from "@hawser/csg-protocol";
import type { BusinessSide } from "../e2e/kit/business-side.ts";
import type { FinalReply, SubmittedCommand } from "./check-history.ts";

export interface SentCommand extends SubmittedCommand {
  readonly at: number;
}

export class CommandLoad {
  readonly sent: SentCommand[] = [];
  readonly #business: BusinessSide;
  readonly #gateways: readonly string[];
  readonly #done: Promise<void>;
  #stopping = false;

  constructor(business: BusinessSide, gateways: readonly string[], everyMs: number) {
    this.#business = business;
    this.#gateways = gateways;
    this.#done = this.#run(everyMs);
  }

  async #run(everyMs: number): Promise<void> {
    for (let number = 0; !this.#stopping; number++) {
      const gateway = this.#gateways[number % this.#gateways.length]!;
      await this.#send(gateway, Math.floor(number / this.#gateways.length) % 2 === 0);
      await sleep(everyMs);
    }
  }

  async #send(gateway: string, slow: boolean): Promise<void> {
    const id = newUuidV7();
    const order = slow
      ? { method: "share.reverseSync", params: { share: "main", prefix: prefixOf(id) }, deadlineMs: 20_000 }
      : { method: "gateway.ping", params: { payload: id }, deadlineMs: 10_000 };
    await this.#business.command({ id, gateway, ...order });
    this.sent.push({ id, gateway, idempotent: !slow, runsAreSeen: slow, at: Date.now() });
  }

  finals(): FinalReply[] {
    return this.#business.replies.filter(({ kind }) => kind === "final").map(({ id, n, code, reason, late }) => ({ id, n, code, reason, late }));
  }

  /** Commands without a final reply. */
  open(): SentCommand[] {
    const answered = new Set(this.finals().map(({ id }) => id));
    return this.sent.filter(({ id }) => !answered.has(id));
  }

  stop(): Promise<void> {
    this.#stopping = true;
    return this.#done;
  }
}

/** What the store sees of a run. */
function prefixOf(id: string): string {
  return `run/${id}/`;
}

/** @param begun prefixes as the store has seen them */
export function runsOf(begun: readonly string[]): string[] {
  return begun.flatMap((prefix) => prefix.split("/")[1] ?? []);
}
