/**
 * Which port belongs to what in a block of 200: one layout, so that a person who knows the first
 * port of a stack knows them all.
 */
import { randomInt } from "node:crypto";
import type { Server } from "node:net";
import { HawserError } from "@hawser/errors";
import { blockRange, closed, isPortFree, tryListen } from "./free-port.ts";
import { type RocketMqPorts, rocketMqPorts } from "./rocketmq-files.ts";

export const BLOCK_SIZE = 200;
/** The last port of a block is held while a stack runs, so that no other stack chooses the block. */
const LOCK_OFFSET = BLOCK_SIZE - 1;
export const MAX_INSTANCES = 10;

export interface ServiceCounts {
  readonly ingress: number;
  readonly session: number;
  readonly router: number;
  readonly csgAgent: number;
}

export interface IngressPorts {
  readonly tcp: number;
  readonly tls: number;
  readonly ws: number;
  readonly wss: number;
  readonly health: number;
}

export interface PortPlan {
  readonly base: number;
  readonly nats: number;
  readonly natsMonitor: number;
  readonly rocketmq: RocketMqPorts;
  readonly ingress: readonly IngressPorts[];
  readonly session: readonly { readonly health: number }[];
  readonly router: readonly { readonly health: number }[];
  readonly csgAgent: readonly { readonly health: number; readonly rest: number }[];
  readonly s3: number;
  readonly otlp: number;
}

export function portPlan(base: number, counts: ServiceCounts): PortPlan {
  const each = <T>(count: number, make: (index: number) => T): T[] => Array.from({ length: count }, (_, index) => make(index));
  return {
    base,
    nats: base,
    natsMonitor: base + 1,
    rocketmq: rocketMqPorts(base + 20),
    ingress: each(counts.ingress, (index) => {
      const tcp = base + (index < 2 ? 10 : 100) + 4 * index;
      return { tcp, tls: tcp + 1, ws: tcp + 2, wss: tcp + 3, health: base + 70 + index };
    }),
    session: each(counts.session, (index) => ({ health: base + 80 + index })),
    router: each(counts.router, (index) => ({ health: base + 90 + index })),
    csgAgent: each(counts.csgAgent, (index) => ({ health: base + 50 + index, rest: base + 60 + index })),
    s3: base + 150,
    otlp: base + 151,
  };
}

/** Every port of the plan that will be listened on. */
export function portsInUse(plan: PortPlan, withRocketMq: boolean): { readonly port: number; readonly what: string }[] {
  return [
    { port: plan.nats, what: "NATS" },
    { port: plan.natsMonitor, what: "NATS monitoring" },
    ...(withRocketMq ? Object.entries(plan.rocketmq).map(([what, port]: [string, number]) => ({ port, what: `RocketMQ ${what}` })) : []),
    ...plan.ingress.flatMap((ports, index) => Object.entries(ports).map(([what, port]: [string, number]) => ({ port, what: `ingress ${index} ${what}` }))),
    ...plan.session.map(({ health }, index) => ({ port: health, what: `session ${index} health` })),
    ...plan.router.map(({ health }, index) => ({ port: health, what: `router ${index} health` })),
    ...plan.csgAgent.flatMap((ports, index) => Object.entries(ports).map(([what, port]: [string, number]) => ({ port, what: `csg-agent ${index} ${what}` }))),
  ];
}

export interface ClaimedPorts {
  readonly plan: PortPlan;
  release(): Promise<void>;
}

/**
 * @param basePort undefined = a free block, held until release()
 * @throws HawserError HAWSER_E_PORT_TAKEN that names the port, HAWSER_E_CONFIG_BAD_VALUE
 */
export async function claimPorts(basePort: number | undefined, counts: ServiceCounts, withRocketMq: boolean): Promise<ClaimedPorts> {
  for (const [service, count] of Object.entries(counts) as [string, number][]) {
    if (!Number.isInteger(count) || count < 1 || count > MAX_INSTANCES) throw new HawserError("HAWSER_E_CONFIG_BAD_VALUE", `${count} processes of ${service}: 1 to ${MAX_INSTANCES} are allowed`);
  }
  if (basePort !== undefined) return { plan: await checkBlock(basePort, counts, withRocketMq), release: () => Promise.resolve() };
  const blocks = Math.floor((blockRange.end - blockRange.first) / BLOCK_SIZE);
  for (let attempt = 0; attempt < 4 * blocks; attempt++) {
    const base = blockRange.first + BLOCK_SIZE * randomInt(blocks);
    const lock = await tryListen(base + LOCK_OFFSET);
    if (!lock) continue;
    const plan = portPlan(base, counts);
    if ((await firstTaken(plan, withRocketMq)) === null) return held(plan, lock);
    await closed(lock);
  }
  throw new HawserError("HAWSER_E_PORT_TAKEN", `no free block of ${BLOCK_SIZE} ports between ${blockRange.first} and ${blockRange.end}: use --base-port`);
}

function held(plan: PortPlan, lock: Server): ClaimedPorts {
  lock.unref();
  return { plan, release: () => (lock.listening ? closed(lock) : Promise.resolve()) };
}

async function checkBlock(base: number, counts: ServiceCounts, withRocketMq: boolean): Promise<PortPlan> {
  if (!Number.isInteger(base) || base < 1024 || base + BLOCK_SIZE > 65_536) throw new HawserError("HAWSER_E_CONFIG_BAD_VALUE", `--base-port ${base} is not allowed; allowed: 1024 to ${65_536 - BLOCK_SIZE}`);
  const plan = portPlan(base, counts);
  const taken = await firstTaken(plan, withRocketMq);
  if (taken) throw new HawserError("HAWSER_E_PORT_TAKEN", `port ${taken.port} (${taken.what}) is taken by another program: use another --base-port`);
  return plan;
}

async function firstTaken(plan: PortPlan, withRocketMq: boolean): Promise<{ readonly port: number; readonly what: string } | null> {
  for (const each of portsInUse(plan, withRocketMq)) {
    if (!(await isPortFree(each.port))) return each;
  }
  return null;
}
