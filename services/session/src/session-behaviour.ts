/** The actor of one Client ID, for the actor host: its record, its turns, and where its effects go. */
import type { ActorKey, Behaviour } from "@hawser/actors";
import { reduceSession, type SessionEffect, type SessionMessage, type SessionSettings } from "./reduce-session.ts";
import { decodeSessionRecord } from "./session-record.ts";
import { emptyState, isIdle, type SessionState } from "./session-state.ts";

export type SessionBehaviour = Behaviour<SessionState, SessionMessage, SessionEffect>;

/** @param perform what a turn decided, when its record is safe */
export function sessionBehaviour(settings: SessionSettings, perform: (key: ActorKey, effects: readonly SessionEffect[]) => void): SessionBehaviour {
  return {
    create: ({ instance, clientId }, records) => {
      const record = records.find(({ suffix }) => suffix === "");
      return record ? decodeSessionRecord(instance, clientId, record.value) : emptyState(instance, clientId);
    },
    receive: (state, message, nowMs) => reduceSession(state, message, nowMs, settings),
    perform: (effects, key) => perform(key, effects),
    idle: isIdle,
  };
}
