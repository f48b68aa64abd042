/**
 * The heartbeat of this process and the view of all others: one per process, for every role.
 * Besides "alive", a heartbeat carries versions of what a member has applied (filters, rules): who
 * must wait until everybody knows something waits for the versions.
 */
import type { Bus, BusMessage, Subscription } from "@hawser/bus";
import { subjects } from "@hawser/wire";
import { Liveness } from "./liveness.ts";

export type MemberState = "joining" | "ready" | "draining";

export interface Member {
  readonly member: string;
  readonly service: string;
  readonly state: MemberState;
  readonly versions: Readonly<Record<string, number>>;
}

interface HeardMember extends Member {
  /** Clock of the member, to order its own heartbeats. */
  readonly sentAtMs: number;
}

interface Heartbeat extends Omit<HeardMember, "state"> {
  readonly state: MemberState | "left";
}

export interface MemberBoardOptions {
  readonly bus: Bus;
  /** Unique per boot. */
  readonly member: string;
  readonly service: string;
  readonly heartbeatMs: number;
  readonly selfMs: number;
  readonly deadMs: number;
}

const PROBES = 3;
const PROBE_PAUSE_MS = 200;
const PROBE_TIMEOUT_MS = 1_000;
const EMPTY = Buffer.alloc(0);
const HERE = Buffer.from("here");

export class MemberBoard {
  readonly member: string;
  readonly service: string;
  readonly #options: MemberBoardOptions;
  readonly #liveness: Liveness;
  readonly #members = new Map<string, HeardMember>();
  readonly #versions: Record<string, number> = {};
  readonly #changeListeners = new Set<() => void>();
  readonly #deadListeners = new Set<(member: string) => void>();
  readonly #probing = new Set<string>();
  #state: MemberState = "joining";
  #subscriptions: Subscription[] = [];
  #timer: NodeJS.Timeout | null = null;
  #beatScheduled = false;

  constructor(options: MemberBoardOptions) {
    this.#options = options;
    this.member = options.member;
    this.service = options.service;
    this.#liveness = new Liveness(options.member, options);
  }

  start(): void {
    const { bus, member, heartbeatMs } = this.#options;
    this.#subscriptions = [
      bus.subscribe(subjects.heartbeat, (message) => this.#heard(message)),
      bus.subscribe(subjects.ping(member), (message) => message.respond(HERE)),
    ];
    this.#timer = setInterval(() => this.#tick(), heartbeatMs);
    this.#beat(this.#state);
  }

  /** Says goodbye: nobody has to wait for this member to be found dead. */
  stop(): void {
    if (this.#timer) clearInterval(this.#timer);
    this.#timer = null;
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
    this.#beat("left");
  }

  setState(state: MemberState): void {
    this.#state = state;
    this.#beatSoon();
  }

  get state(): MemberState {
    return this.#state;
  }

  /** What this member has applied; told at once, rides on every heartbeat. */
  setVersion(name: string, value: number): void {
    if (this.#versions[name] === value) return;
    this.#versions[name] = value;
    this.#beatSoon();
  }

  /** Whether I have heard myself lately: only then I may judge others or act as an owner. */
  healthy(): boolean {
    return this.#liveness.healthy(performance.now());
  }

  members(service?: string): Member[] {
    const all = [...this.#members.values()];
    return service === undefined ? all : all.filter((member) => member.service === service);
  }

  /** False only for who is dead or has said goodbye; one that was never heard has deadMs to be heard. */
  isAlive(member: string): boolean {
    return this.#liveness.mayBeAlive(member, performance.now());
  }

  /** A member came, went or changed its state or versions. @returns stops listening */
  onChange(listener: () => void): () => void {
    this.#changeListeners.add(listener);
    return () => this.#changeListeners.delete(listener);
  }

  /** A member is gone: found dead, or it said goodbye. */
  onDead(listener: (member: string) => void): () => void {
    this.#deadListeners.add(listener);
    return () => this.#deadListeners.delete(listener);
  }

  #tick(): void {
    this.#beat(this.#state);
    const now = performance.now();
    for (const member of this.#liveness.judge(now)) this.#gone(member);
    for (const member of this.#liveness.suspects(now)) this.#probe(member);
  }

  /** Several changes of a tick are one heartbeat. */
  #beatSoon(): void {
    if (this.#beatScheduled || !this.#timer) return;
    this.#beatScheduled = true;
    setImmediate(() => {
      this.#beatScheduled = false;
      if (this.#timer) this.#beat(this.#state);
    });
  }

  #beat(state: MemberState | "left"): void {
    const { bus, member, service } = this.#options;
    const heartbeat: Heartbeat = { member, service, state, versions: this.#versions, sentAtMs: performance.now() };
    bus.publish(subjects.heartbeat, Buffer.from(JSON.stringify(heartbeat)));
  }

  #heard(message: BusMessage): void {
    const heartbeat = decodeHeartbeat(message.data);
    if (!heartbeat) return;
    const { member, service, state, versions, sentAtMs } = heartbeat;
    if (state === "left") {
      this.#liveness.bury(member);
      return this.#gone(member);
    }
    this.#liveness.heard(member, sentAtMs, performance.now());
    const known = this.#members.get(member);
    // one that came another way round is still a sign of life, but old news
    if (known && known.sentAtMs > sentAtMs) return;
    this.#members.set(member, { member, service, state, versions, sentAtMs });
    if (known && known.state === state && sameVersions(known.versions, versions)) return;
    for (const listener of this.#changeListeners) listener();
  }

  #gone(member: string): void {
    this.#members.delete(member);
    for (const listener of this.#deadListeners) listener(member);
    for (const listener of this.#changeListeners) listener();
  }

  /** A killed process has no interest left: three times nobody there is as good as deadMs of silence. */
  #probe(member: string, attempt = 1): void {
    if (attempt === 1) {
      if (this.#probing.has(member)) return;
      this.#probing.add(member);
    }
    const { bus } = this.#options;
    bus.requestCallback(subjects.ping(member), EMPTY, PROBE_TIMEOUT_MS, (error) => {
      if (error?.kind !== "no-responders" || !this.#timer) return void this.#probing.delete(member);
      if (attempt < PROBES) return void setTimeout(() => this.#probe(member, attempt + 1), PROBE_PAUSE_MS).unref();
      this.#probing.delete(member);
      if (!this.#liveness.isSuspect(member, performance.now())) return;
      this.#liveness.bury(member);
      this.#gone(member);
    });
  }
}

/** @returns null for what is not a heartbeat: the subject is open to everybody on this NATS */
function decodeHeartbeat(data: Buffer): Heartbeat | null {
  try {
    const heartbeat = JSON.parse(data.toString()) as Heartbeat;
    return typeof heartbeat.member === "string" && typeof heartbeat.sentAtMs === "number" && heartbeat.versions ? heartbeat : null;
  } catch {
    return null;
  }
}

function sameVersions(a: Readonly<Record<string, number>>, b: Readonly<Record<string, number>>): boolean {
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key]);
}
