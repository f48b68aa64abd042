/** Who an actor is. */
export interface ActorKey {
  readonly instance: string;
  readonly clientId: string;
  readonly shard: number;
  /** actorToken(instance, clientId): its name in keys. */
  readonly token: string;
}

export interface StoredRecord {
  /** Empty: the actor's own record; else a dot-free id below it. */
  readonly suffix: string;
  readonly value: Buffer;
}

export interface RecordWrite {
  readonly suffix: string;
  /** Null deletes. */
  readonly value: Buffer | null;
}

/** What one message leads to: records that must be safe before the effects may leave the actor. */
export interface Turn<E> {
  readonly writes: readonly RecordWrite[];
  readonly effects: readonly E[];
}

/**
 * What an actor does, without I/O: the host loads, stores, orders and gates.
 * @typeParam S state @typeParam M message @typeParam E effect
 */
export interface Behaviour<S, M, E> {
  /** At activation, from what is stored (nothing, for a new actor). */
  create(key: ActorKey, records: readonly StoredRecord[]): S;
  /** One message. May change its own state object and nothing else. */
  receive(state: S, message: M, nowMs: number): Turn<E>;
  /** After the turn's records are safe, in the order of the turns. */
  perform(effects: readonly E[], key: ActorKey): void;
  /** Whether it may leave memory: everything that matters is stored. */
  idle(state: S, nowMs: number): boolean;
}
