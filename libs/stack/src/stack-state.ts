/** DIR/state.json: where the stack is and how one talks to it. Other programs rely on its shape. */
import type { InstanceRecord } from "@hawser/catalog";
import type { PortPlan } from "./port-plan.ts";
import type { StackOptions } from "./stack-options.ts";

export interface StackCredentials {
  readonly accessKeyId: string;
  readonly accessKeySecret: string;
  /** Bearer token of the REST API. */
  readonly restToken: string;
}

export interface StackState {
  readonly ready: boolean;
  readonly pids: {
    readonly nats: number;
    /** Absent without a RocketMQ of the stack's own. */
    readonly rocketmq?: number;
    readonly ingress: readonly number[];
    readonly session: readonly number[];
    readonly router: readonly number[];
    readonly csgAgent: readonly number[];
  };
  readonly endpoints: {
    /** One per ingress; what does not listen is absent. */
    readonly mqtt: readonly MqttEndpoints[];
    readonly nats: string;
    /** gRPC of the RocketMQ proxy; absent when RocketMQ is off. */
    readonly rocketmq?: string;
    readonly rest: string;
    readonly metrics: Readonly<Record<"ingress" | "session" | "router" | "csgAgent", readonly string[]>>;
  };
  readonly tls: { readonly ca: string };
  readonly namesrv?: string;
  readonly brokerRemoting?: string;
  readonly instance: string;
  readonly groups: readonly string[];
  readonly parents: readonly string[];
  readonly csg: { readonly group: string; readonly up: string; readonly down: string } | null;
  readonly rules: readonly StateRule[];
  readonly credentials: StackCredentials;
}

export interface MqttEndpoints {
  readonly tcp: string;
  readonly tls?: string;
  readonly ws?: string;
  readonly wss?: string;
}

export interface StateRule {
  readonly kind: "outbound" | "inbound" | "status" | "actor";
  readonly parent?: string;
  readonly group?: string;
  readonly service?: string;
  /** The RocketMQ topic. */
  readonly rocketmq?: string;
}

export interface StackAddresses {
  readonly rocketmq?: string;
  readonly namesrv?: string;
  readonly brokerRemoting?: string;
}

export interface StateParts {
  readonly pids: StackState["pids"];
  readonly plan: PortPlan;
  /** Ports of the plan on which something listens. */
  readonly listening: ReadonlySet<number>;
  readonly addresses: StackAddresses;
  readonly ca: string;
  readonly instance: InstanceRecord;
  readonly credentials: StackCredentials;
}

export function stackState(parts: StateParts): StackState {
  const { plan, addresses, instance } = parts;
  return {
    ready: true,
    pids: parts.pids,
    endpoints: {
      mqtt: plan.ingress.map((ports) => ({ tcp: loopback(ports.tcp), ...listeners(ports, parts.listening) })),
      nats: loopback(plan.nats),
      ...(addresses.rocketmq ? { rocketmq: addresses.rocketmq } : {}),
      rest: loopback(plan.csgAgent[0]!.rest),
      metrics: {
        ingress: plan.ingress.map(({ health }) => loopback(health)),
        session: plan.session.map(({ health }) => loopback(health)),
        router: plan.router.map(({ health }) => loopback(health)),
        csgAgent: plan.csgAgent.map(({ health }) => loopback(health)),
      },
    },
    tls: { ca: parts.ca },
    ...(addresses.namesrv ? { namesrv: addresses.namesrv } : {}),
    ...(addresses.brokerRemoting ? { brokerRemoting: addresses.brokerRemoting } : {}),
    instance: instance.id,
    groups: instance.groups,
    parents: instance.parents,
    csg: instance.csg ?? null,
    rules: instance.rules.map(stateRule),
    credentials: parts.credentials,
  };
}

export function addressesOf(options: StackOptions, plan: PortPlan): StackAddresses {
  const { rocketmq } = options;
  switch (rocketmq.kind) {
    case "off":
      return {};
    case "real":
      return { rocketmq: loopback(plan.rocketmq.grpc), namesrv: loopback(plan.rocketmq.namesrv), brokerRemoting: loopback(plan.rocketmq.broker) };
    case "external":
      return { rocketmq: rocketmq.endpoint, ...(rocketmq.namesrv ? { namesrv: rocketmq.namesrv } : {}), ...(rocketmq.broker ? { brokerRemoting: rocketmq.broker } : {}) };
  }
}

export function loopback(port: number): string {
  return `127.0.0.1:${port}`;
}

function listeners(ports: { tls: number; ws: number; wss: number }, listening: ReadonlySet<number>): Omit<MqttEndpoints, "tcp"> {
  const open = (["tls", "ws", "wss"] as const).filter((kind) => listening.has(ports[kind]));
  return Object.fromEntries(open.map((kind) => [kind, loopback(ports[kind])]));
}

function stateRule(rule: InstanceRecord["rules"][number]): StateRule {
  switch (rule.kind) {
    case "outbound":
      return { kind: rule.kind, parent: rule.parent, rocketmq: rule.topic };
    case "inbound":
      return { kind: rule.kind, ...(rule.parent === undefined ? {} : { parent: rule.parent }), ...(rule.service === undefined ? {} : { service: rule.service }), rocketmq: rule.topic };
    case "status":
      return { kind: rule.kind, group: rule.group, rocketmq: rule.topic };
    case "actor":
      return { kind: rule.kind, parent: rule.parent, service: rule.service };
  }
}
