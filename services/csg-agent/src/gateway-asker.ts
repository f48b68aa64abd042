/** Asking the owner of a gateway, whichever instance it is, from the REST interface of any. */
import type { Bus } from "@hawser/bus";
import { type CommandError, commandError, isFinal } from "@hawser/csg-protocol";
import type { ShardCaller } from "@hawser/shards";
import { ActorVerb, type Answer, decodeAnswer, encodeFrame, encodeToken, shardOf, subjects } from "@hawser/wire";
import type { Ask } from "./asks.ts";
import type { CommandView } from "@hawser/command-engine";

export type Asked<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: CommandError };

export class GatewayAsker {
  readonly #bus: Bus;
  readonly #owners: ShardCaller;
  readonly #shards: number;

  constructor(bus: Bus, owners: ShardCaller, shards: number) {
    this.#bus = bus;
    this.#owners = owners;
    this.#shards = shards;
  }

  ask<T>(ask: Ask, body: Buffer = Buffer.alloc(0)): Promise<Asked<T>> {
    const shard = shardOf(ask.instance, ask.clientId, this.#shards);
    return new Promise((resolve) => {
      this.#owners.call(shard, encodeFrame(ActorVerb.ask, ask, body), {}, (error, bytes) => {
        if (error) return resolve(unavailable(`the owner of this gateway did not answer: ${error.kind}`));
        const answer: Answer<{ readonly [member: string]: unknown }> = decodeAnswer(bytes);
        resolve(answer.ok ? { ok: true, value: answer as T } : unavailable(answer.reason));
      });
    });
  }

  /**
   * Does `begin`, then waits until the command is final.
   * @returns its last known view, final or not, or what `begin` failed with
   */
  async waitFinal(gateway: string, id: string, waitMs: number, begin: () => Promise<CommandView | null>): Promise<CommandView | null> {
    let resolve: (view: CommandView | null) => void = () => undefined;
    const ended = new Promise<CommandView | null>((done) => (resolve = done));
    const subscription = this.#bus.subscribe(subjects.commandEvents(encodeToken(gateway), id), (message) => {
      const view = JSON.parse(message.data.toString()) as CommandView;
      if (isFinal(view.state)) resolve(view);
    });
    const timer = setTimeout(() => resolve(null), waitMs);
    try {
      await this.#bus.flush();
      const begun = await begin();
      if (begun === null || isFinal(begun.state)) return begun;
      return (await ended) ?? begun;
    } finally {
      clearTimeout(timer);
      subscription.unsubscribe();
    }
  }
}

function unavailable(detail: string): { ok: false; error: CommandError } {
  return { ok: false, error: commandError("OWNER_UNAVAILABLE", detail) };
}
