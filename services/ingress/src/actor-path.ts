/**
 * The actor way of a message: a request to the owner of the sender's shard, acknowledged when the
 * owner has accepted it. While a shard has no owner for 2 s its messages go to the log with the
 * destination "actor" instead, and stay on that way until the log is drained up to the last of
 * them, so that nothing overtakes. A message that may have arrived is sent again: actors recognise
 * (origin, sequence).
 */
import type { LogWriter } from "@hawser/log";
import type { MemberBoard, ShardCaller } from "@hawser/shards";
import { ActorVerb, decodeAnswer, encodeFrame, encodeUplink, RecordKind, services, type DestinationSet } from "@hawser/wire";

const OWNER_TIMEOUT_MS = 5_000;
/** How long a shard may be without an owner before its messages take the way by the log. */
const PATIENCE_MS = 2_000;

export type ActorOutcome = "accepted" | "rejected" | "refused" | "ambiguous";

interface Detour {
  readonly partition: number;
  /** Log sequence of the last message that took the detour. */
  sequence: number;
  /** Appends of the detour whose place is not known yet. */
  open: number;
}

export class ActorPath {
  readonly #callers: ReadonlyMap<string, ShardCaller>;
  readonly #log: LogWriter;
  readonly #board: MemberBoard;
  readonly #detours = new Map<string, Detour>();
  readonly #destinations = new Map<string, DestinationSet>();

  constructor(callers: ReadonlyMap<string, ShardCaller>, log: LogWriter, board: MemberBoard) {
    this.#callers = callers;
    this.#log = log;
    this.#board = board;
  }

  send(uplink: ActorUplink, done: (outcome: ActorOutcome) => void): void {
    const caller = this.#callers.get(uplink.service);
    if (!caller || this.#onDetour(uplink)) return this.#byLog(uplink, done);
    const frame = encodeFrame(ActorVerb.uplink, null, encodeUplink({ instance: uplink.instance, envelope: uplink.envelope }));
    caller.call(uplink.shard, frame, { timeoutMs: OWNER_TIMEOUT_MS, patienceMs: PATIENCE_MS }, (error, bytes) => {
      if (error) return this.#byLog(uplink, done);
      const answer = decodeAnswer(bytes);
      if (answer.ok) done("accepted");
      else if (answer.code === "refused") done("rejected");
      else this.#byLog(uplink, done);
    });
  }

  #onDetour(uplink: ActorUplink): boolean {
    const key = `${uplink.service}.${uplink.shard}.${uplink.partition}`;
    const detour = this.#detours.get(key);
    if (!detour) return false;
    if (detour.open === 0 && this.#drained(detour.partition) >= detour.sequence) {
      this.#detours.delete(key);
      return false;
    }
    return true;
  }

  #drained(partition: number): number {
    let drained = 0;
    for (const router of this.#board.members(services.router)) {
      drained = Math.max(drained, router.versions[`actor.${partition}`] ?? 0);
    }
    return drained;
  }

  #byLog(uplink: ActorUplink, done: (outcome: ActorOutcome) => void): void {
    const key = `${uplink.service}.${uplink.shard}.${uplink.partition}`;
    let detour = this.#detours.get(key);
    if (!detour) this.#detours.set(key, (detour = { partition: uplink.partition, sequence: 0, open: 0 }));
    const taken = detour;
    taken.open++;
    const destinations = this.#destinationsOf(uplink.instance, uplink.service);
    this.#log.append(uplink.partition, { kind: RecordKind.publish, destinations, body: uplink.envelope }, (outcome, place) => {
      taken.open--;
      if (place) taken.sequence = Math.max(taken.sequence, place.sequence);
      done(outcome === "stored" ? "accepted" : outcome);
    });
  }

  #destinationsOf(instance: string, service: string): DestinationSet {
    const key = `${instance}/${service}`;
    let set = this.#destinations.get(key);
    if (!set) this.#destinations.set(key, (set = { instance, rules: [], inbox: false, actor: service }));
    return set;
  }
}

export interface ActorUplink {
  readonly service: string;
  readonly instance: string;
  readonly shard: number;
  readonly partition: number;
  readonly envelope: Buffer;
}
