/**
 * What must hold of a recorded run, whatever died in its course. Pure: a history in, violations
 * out, each a sentence.
 *
 * Uplink: what was acknowledged to a publisher has reached RocketMQ (more often is allowed, in
 * another order too), and RocketMQ has nothing that nobody published. Sessions: what was
 * acknowledged to a publisher has reached the persistent subscriber, first deliveries in the order
 * of each publisher. Commands: every command comes to a final reply; what its gateway ran began at
 * most once; a reply that says it never ran is true, one that says it ran as well; two finals are
 * one UNKNOWN / IN_DOUBT and then a late one.
 */
export interface History {
  readonly published: readonly Publish[];
  /** Message ids as they came to RocketMQ. */
  readonly arrived: readonly string[];
  /** Ids of the messages a persistent session got, in order. */
  readonly delivered: readonly string[];
  readonly commands: readonly SubmittedCommand[];
  readonly finals: readonly FinalReply[];
  /** Ids of commands as they began at gateways, as the world outside of the gateway has seen it. */
  readonly runs: readonly string[];
}

export interface Publish {
  readonly id: string;
  readonly publisher: string;
  /** Increasing per publisher. */
  readonly number: number;
  readonly acknowledged: boolean;
  /** A persistent session subscribes to its topic. */
  readonly toSession: boolean;
}

export interface SubmittedCommand {
  readonly id: string;
  readonly gateway: string;
  /** Its method may be run again. */
  readonly idempotent: boolean;
  /** Its runs are seen outside of the gateway. */
  readonly runsAreSeen: boolean;
}

export interface FinalReply {
  readonly id: string;
  readonly n: number;
  readonly code: string;
  readonly reason: string | null;
  readonly late: boolean;
}

export function checkHistory(history: History): string[] {
  return [...checkUplink(history), ...checkSession(history), ...checkCommands(history)];
}

function checkUplink({ published, arrived }: History): string[] {
  const there = new Set(arrived);
  const known = new Set(published.map(({ id }) => id));
  return [
    ...published.filter(({ id, acknowledged }) => acknowledged && !there.has(id)).map(({ id }) => `${id} was acknowledged and is not in RocketMQ`),
    ...[...there].filter((id) => !known.has(id)).map((id) => `${id} is in RocketMQ and nobody published it`),
  ];
}

function checkSession({ published, delivered }: History): string[] {
  const violations: string[] = [];
  const there = new Set(delivered);
  const known = new Map(published.filter(({ toSession }) => toSession).map((each) => [each.id, each]));
  for (const { id, acknowledged } of known.values()) if (acknowledged && !there.has(id)) violations.push(`${id} was acknowledged and the session never got it`);
  const last = new Map<string, Publish>();
  for (const id of there) {
    const message = known.get(id);
    if (!message) {
      violations.push(`${id} came to the session and nobody published it there`);
      continue;
    }
    const before = last.get(message.publisher);
    if (before && before.number > message.number) violations.push(`${id} first came after ${before.id}: not the order of ${message.publisher}`);
    last.set(message.publisher, message);
  }
  return violations;
}

/** Reasons of final replies that swear the command has not run. */
const NEVER_RAN = new Set(["NOT_DELIVERED", "NOT_ACCEPTED", "GATEWAY_OFFLINE", "QUEUE_FULL", "PARAM_INVALID", "METHOD_UNKNOWN"]);

function checkCommands({ commands, finals, runs }: History): string[] {
  const violations: string[] = [];
  const known = new Set(commands.map(({ id }) => id));
  const replies = Map.groupBy(finals, ({ id }) => id);
  const ran = new Map<string, number>();
  for (const id of runs) ran.set(id, (ran.get(id) ?? 0) + 1);
  for (const { id, gateway, idempotent, runsAreSeen } of commands) {
    const count = ran.get(id) ?? 0;
    const own = replies.get(id) ?? [];
    if (own.length === 0) violations.push(`${id} to ${gateway} has no final reply`);
    if (count > 1 && !idempotent) violations.push(`${id} ran ${count} times on ${gateway}`);
    for (const { code, reason } of own) {
      if (count > 0 && NEVER_RAN.has(reason ?? "")) violations.push(`${id} was told ${code} / ${reason} and ran on ${gateway}`);
      if (runsAreSeen && count === 0 && code === "OK") violations.push(`${id} was told OK and never ran on ${gateway}`);
    }
    violations.push(...checkFinals(id, own));
  }
  for (const id of new Set([...replies.keys(), ...ran.keys()])) if (!known.has(id)) violations.push(`${id} was answered or ran and nobody sent it`);
  return violations;
}

function checkFinals(id: string, finals: readonly FinalReply[]): string[] {
  const violations: string[] = [];
  const byNumber = new Map<number, FinalReply>();
  for (const reply of finals) {
    const same = byNumber.get(reply.n);
    if (same && (same.code !== reply.code || same.reason !== reply.reason)) violations.push(`${id} has two replies n=${reply.n}: ${told(same)} and ${told(reply)}`);
    byNumber.set(reply.n, reply);
  }
  const [first] = byNumber.has(1) ? [byNumber.get(1)!] : [];
  for (const reply of byNumber.values()) {
    if (reply.n === 1) continue;
    if (reply.n > 2 || !reply.late) violations.push(`${id} has a final n=${reply.n} that is ${reply.late ? "one too many" : "not late"}: ${told(reply)}`);
    else if (first && first.code !== "UNKNOWN") violations.push(`${id} has a late final ${told(reply)} after ${told(first)}`);
  }
  return violations;
}

function told({ code, reason }: FinalReply): string {
  return reason === null ? code : `${code} / ${reason}`;
}
