/**
 * The state of one gateway's actor and its records: the record with the empty suffix is the gateway
 * itself (it exists once the gateway has been seen: that is what makes a gateway known), every other
 * suffix is the id of a command.
 */
import { isFinal, type Lane } from "@hawser/csg-protocol";
import type { ActorKey } from "@hawser/actors";
import { type Command, decodeCommand, deadlineOf } from "./command.ts";

/** The gateway's own record. */
export interface GatewayMeta {
  readonly v: 1;
  readonly gateway: string;
  readonly group: string;
  readonly firstSeenAt: number;
  /** The last hello, or null when only its connection was seen. */
  hello: {
    readonly bootId: string;
    readonly installId: string;
    readonly agent: { readonly name: string; readonly version: string };
    readonly methods: Readonly<Record<string, string>>;
  } | null;
  /** At least the highest `seq` of each lane among commands that are no longer kept. */
  seq: Record<Lane, number>;
}

export type LinkState = "unknown" | "online" | "unstable" | "offline";

/** What is known of the gateway's connection: memory only, a new owner learns it by sending. */
export interface Link {
  state: LinkState;
  /** Whether a send is worth trying. A presence event or a P2P answer may say no. */
  reachable: "unknown" | "yes" | "no";
  /** (epoch, counter) of the last presence event. */
  epoch: number;
  counter: number;
  channelId: string;
  clientIp: string;
  sinceMs: number;
  lastSeenAt: number;
  connectedAt: number;
  /** Our time of the last hello. */
  helloAt: number;
  /** No request is sent before hello, or this time. */
  awaitHelloUntil: number;
  /** When the grace of a lost connection ends. */
  offlineAt: number;
  /** It is absent and commands wait: ask its session owner then, in case its return went unnoticed. */
  probeAt: number;
  /** Sends without a receipt in a row. */
  silentSends: number;
}

export interface GatewayState {
  readonly instance: string;
  readonly clientId: string;
  readonly gateway: string;
  readonly group: string;
  meta: GatewayMeta | null;
  readonly link: Link;
  readonly commands: Map<string, Command>;
  /** QUEUED, in arrival order. */
  queued: Command[];
  /** SENT to IN_DOUBT. */
  readonly active: Map<string, Command>;
  /** Whose final reply RocketMQ has not got yet. */
  readonly owed: Map<string, Command>;
  readonly seq: Record<Lane, number>;
  /** Highest config `seq` the gateway is known to have taken. */
  configTaken: number;
  nextOrder: number;
  /** Ids whose results the gateway may forget, not yet told. */
  acks: string[];
  acksDueAt: number;
  /** Loaded from records and nothing done since. */
  fresh: boolean;
  /** When the actor wants a tick; Infinity = never. */
  nextDeadlineAt: number;
}

const NEVER = Number.POSITIVE_INFINITY;

export function createGateway(key: Pick<ActorKey, "instance" | "clientId">, records: readonly { suffix: string; value: Buffer }[]): GatewayState {
  const cut = key.clientId.indexOf("@@@");
  const state: GatewayState = {
    instance: key.instance,
    clientId: key.clientId,
    gateway: cut < 0 ? key.clientId : key.clientId.slice(cut + 3),
    group: cut < 0 ? "" : key.clientId.slice(0, cut),
    meta: null,
    link: {
      state: "unknown",
      reachable: "unknown",
      epoch: 0,
      counter: 0,
      channelId: "",
      clientIp: "",
      sinceMs: 0,
      lastSeenAt: 0,
      connectedAt: 0,
      helloAt: 0,
      awaitHelloUntil: 0,
      offlineAt: NEVER,
      probeAt: NEVER,
      silentSends: 0,
    },
    commands: new Map(),
    queued: [],
    active: new Map(),
    owed: new Map(),
    seq: { query: 0, config: 0, task: 0 },
    configTaken: 0,
    nextOrder: 1,
    acks: [],
    acksDueAt: NEVER,
    fresh: records.length > 0,
    nextDeadlineAt: NEVER,
  };
  const commands: Command[] = [];
  for (const { suffix, value } of records) {
    if (suffix === "") state.meta = decodeMeta(value);
    else commands.push(decodeCommand(value));
  }
  if (state.meta) Object.assign(state.seq, state.meta.seq);
  for (const command of commands.sort((one, two) => one.order - two.order)) {
    state.commands.set(command.id, command);
    state.nextOrder = command.order + 1;
    state.seq[command.lane] = Math.max(state.seq[command.lane], command.seq);
    if (command.lane === "config" && command.taken) state.configTaken = Math.max(state.configTaken, command.seq);
    if (command.state === "QUEUED") state.queued.push(command);
    else if (!isFinal(command.state)) state.active.set(command.id, command);
    if (command.owed > 0) state.owed.set(command.id, command);
  }
  if (state.fresh) state.nextDeadlineAt = 0;
  return state;
}

export function encodeMeta(meta: GatewayMeta): Buffer {
  return Buffer.from(JSON.stringify(meta));
}

function decodeMeta(value: Buffer): GatewayMeta {
  const meta = JSON.parse(value.toString()) as GatewayMeta;
  if (meta.v !== 1) throw new Error(`gateway record: version ${String(meta.v)} is not known`);
  return meta;
}

export function hasOpenCommands(state: GatewayState): boolean {
  return state.queued.length > 0 || state.active.size > 0;
}

export function computeDeadline(state: GatewayState, settings: Parameters<typeof deadlineOf>[1]): number {
  const { link } = state;
  let at = Math.min(state.acksDueAt, link.offlineAt);
  for (const command of state.queued) at = Math.min(at, command.queueDeadlineAt);
  for (const command of state.active.values()) at = Math.min(at, deadlineOf(command, settings));
  for (const command of state.owed.values()) at = Math.min(at, deadlineOf(command, settings));
  if (hasOpenCommands(state)) {
    at = Math.min(at, link.probeAt);
    if (link.awaitHelloUntil > 0) at = Math.min(at, link.awaitHelloUntil);
  }
  return at;
}
