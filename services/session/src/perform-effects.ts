/** What a session's turn decided, done: answers, orders, presence, and what the inbox must know. */
import type { ActorKey } from "@hawser/actors";
import type { BusMessage } from "@hawser/bus";
import { parseShare } from "@hawser/rules";
import { encodeAnswer, type Answer, type StoredSubscription } from "@hawser/wire";
import type { AttachCollector } from "./attach-collector.ts";
import type { OwnedShard } from "./owned-shard.ts";
import type { SessionEffect } from "./reduce-session.ts";

export function performEffects(shard: OwnedShard, key: ActorKey, effects: readonly SessionEffect[]): void {
  for (const effect of effects) performEffect(shard, key, effect);
}

function performEffect(shard: OwnedShard, key: ActorKey, effect: SessionEffect): void {
  const { runner, filters, orders, presence, actors } = shard.parts;
  const { inbox } = runner;
  const name = `${key.instance}/${key.clientId}`;
  const queue = inbox.queue(key.instance, key.clientId);
  switch (effect.kind) {
    case "answer":
      return answer(effect.reply, effect.answer);
    case "grant":
      return answer(effect.reply, { ok: true, ...effect.grant });
    case "attached":
      return (effect.reply as AttachCollector).add(effect.connection, effect.refused);
    case "order-close": {
      const { connection, reason } = effect;
      // an ingress that is replaced by a listed connection is told too, though it does not count any more
      const isWanted = (): boolean => actors.peek(key)?.connection?.sequence === connection.sequence;
      return orders.close(connection, reason, isWanted, () => shard.tell(key, { kind: "gone", sequence: connection.sequence }));
    }
    case "presence": {
      const { type, channelId, clientIp, atMs } = effect;
      return presence.write(key.instance, { type, clientId: key.clientId, channelId, clientIp, atMs, ...shard.nextOrder() });
    }
    case "opened":
      inbox.open({ instance: key.instance, clientId: key.clientId, token: key.token, bornEpoch: effect.born.epoch, bornCounter: effect.born.counter });
      return;
    case "online":
      shard.online.set(name, { key, connection: effect.connection });
      if (!queue) return;
      inbox.attach(queue, effect.connection);
      return runner.pump();
    case "offline":
      if (shard.online.get(name)?.connection.sequence === effect.connection.sequence) shard.online.delete(name);
      if (queue?.receiver?.sequence === effect.connection.sequence) inbox.detach(queue);
      return;
    case "subscribed":
      if (queue) for (const subscription of effect.subscriptions) if (isOwn(subscription)) inbox.subscribe(queue, subscription);
      if (inbox.subscriptions.changed) filters.touch();
      inbox.subscriptions.changed = false;
      return filters.whenKnown((outcome) => {
        if (outcome === "known") answer(effect.reply, { ok: true });
        else if (outcome === "stopped") answer(effect.reply, { ok: false, code: "fenced", reason: "not the owner" });
        else answer(effect.reply, { ok: false, code: "busy", reason: "the routers do not know the filters yet" });
      });
    case "unsubscribed":
      if (queue) for (const filter of effect.filters) inbox.unsubscribe(queue, filter);
      answer(effect.reply, { ok: true });
      break;
    case "ended":
      if (queue) inbox.close(queue);
  }
  if (inbox.subscriptions.changed) filters.touch();
  inbox.subscriptions.changed = false;
}

/** Shared subscriptions belong to their group, not to the session's inbox. */
export function isOwn({ filter }: StoredSubscription): boolean {
  return parseShare(filter) === null;
}

function answer(reply: unknown, value: Answer): void {
  (reply as BusMessage | null)?.respond(encodeAnswer(value));
}
