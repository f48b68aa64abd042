/**
 * An instance ready for hot paths: lookups by map, destination sets built once. A set is one object
 * per (parent, QoS above 0?, P2P?), so that a log entry writes it once.
 */
import type { DestinationSet } from "@hawser/wire";
import type { Credential, InstanceRecord, Profile } from "./schema.ts";

export interface OutboundRule {
  readonly id: string;
  readonly kind: "outbound";
  readonly parent: string;
  readonly topic: string;
  readonly cluster: string;
  readonly order: "none" | "client";
  readonly p2p: boolean;
  readonly qos0: boolean;
}

interface InboundBase {
  readonly id: string;
  readonly kind: "inbound";
  readonly topic: string;
  readonly consumerGroup: string;
  readonly cluster: string;
}
/** To MQTT: live topics of the parent, or P2P by `mqttSecondTopic`. */
export interface InboundMqttRule extends InboundBase {
  readonly parent: string;
  readonly service: null;
}
/** To an actor: the key is `<group>@@@<deviceProperty>`, the group from its property or the rule. */
export interface InboundActorRule extends InboundBase {
  readonly parent: null;
  readonly service: string;
  readonly deviceProperty: string;
  readonly groupProperty: string | null;
  readonly group: string | null;
}
export type InboundRule = InboundMqttRule | InboundActorRule;

export interface StatusRule {
  readonly id: string;
  readonly kind: "status";
  readonly group: string;
  readonly topic: string;
  readonly cluster: string;
}

export interface ActorBinding {
  readonly service: string;
  /** The parent's messages are live messages too. */
  readonly live: boolean;
}

export interface CsgSettings {
  readonly group: string;
  readonly up: string;
  readonly down: string;
}

interface ParentDestinations {
  readonly durable: DestinationSet | null;
  readonly fleeting: DestinationSet | null;
  readonly durableP2p: DestinationSet | null;
  readonly fleetingP2p: DestinationSet | null;
}

export class CompiledInstance {
  readonly id: string;
  readonly version: number;
  readonly profile: Profile;
  readonly csg: CsgSettings | null;
  readonly groups: readonly string[];
  readonly parents: readonly string[];
  readonly inboundRules: readonly InboundRule[];
  /** Names of the RocketMQ clusters the rules use. */
  readonly clusters: readonly string[];
  readonly #groups: ReadonlySet<string>;
  readonly #parents: ReadonlySet<string>;
  readonly #credentials: ReadonlyMap<string, Credential>;
  readonly #rules = new Map<string, OutboundRule | InboundRule | StatusRule>();
  readonly #outbound = new Map<string, OutboundRule[]>();
  readonly #status = new Map<string, StatusRule>();
  readonly #actors = new Map<string, ActorBinding>();
  readonly #destinations = new Map<string, ParentDestinations>();
  readonly #statusDestinations = new Map<string, DestinationSet>();
  readonly #fallbacks = new Map<string, DestinationSet>();
  /** Of a parent nobody declared, in the plain profile. */
  readonly #plainDestinations: ParentDestinations;

  constructor(record: InstanceRecord, version: number) {
    this.id = record.id;
    this.version = version;
    this.profile = record.profile;
    this.csg = record.csg ?? null;
    this.groups = Object.freeze([...record.groups]);
    this.parents = Object.freeze([...record.parents]);
    this.#groups = new Set(record.groups);
    this.#parents = new Set(record.parents);
    this.#credentials = new Map(record.credentials.map((credential) => [credential.accessKeyId, Object.freeze(credential)]));
    this.inboundRules = Object.freeze(this.#indexRules(record));
    this.clusters = Object.freeze([...new Set([...this.#rules.values()].map((rule) => rule.cluster))].sort());
    this.#plainDestinations = this.#parentDestinations([], null);
    for (const parent of new Set([...record.parents, ...this.#outbound.keys(), ...this.#actors.keys()])) {
      this.#destinations.set(parent, this.#parentDestinations(this.outboundRules(parent), this.actorService(parent)));
    }
    this.#indexStatus();
  }

  #indexRules(record: InstanceRecord): InboundRule[] {
    const inbound: InboundRule[] = [];
    for (const rule of record.rules) {
      if (rule.kind === "actor") this.#actors.set(rule.parent, Object.freeze({ service: rule.service, live: rule.live }));
      else if (rule.kind === "status") this.#status.set(rule.group, Object.freeze(rule));
      else if (rule.kind === "outbound") this.#outbound.set(rule.parent, [...(this.#outbound.get(rule.parent) ?? []), Object.freeze(rule)]);
      else inbound.push(inboundRule(rule));
    }
    for (const rule of [...this.#outbound.values()].flat()) this.#rules.set(rule.id, rule);
    for (const rule of [...inbound, ...this.#status.values()]) this.#rules.set(rule.id, rule);
    return inbound;
  }

  #parentDestinations(rules: readonly OutboundRule[], actor: ActorBinding | null): ParentDestinations {
    const live = actor === null || actor.live;
    const set = (chosen: readonly OutboundRule[], inbox: boolean): DestinationSet | null => (inbox || chosen.length > 0 ? this.#set(chosen, inbox, null) : null);
    const p2p = rules.filter((rule) => rule.p2p);
    return {
      durable: set(rules, live),
      fleeting: set(rules.filter((rule) => rule.qos0), false),
      durableP2p: set(p2p, false),
      fleetingP2p: set(p2p.filter((rule) => rule.qos0), false),
    };
  }

  #indexStatus(): void {
    const services = new Set([...this.#actors.values()].map((binding) => binding.service));
    const gatewayGroup = this.csg !== null && services.has("csg") ? this.csg.group : null;
    for (const group of new Set([...this.#status.keys(), ...(gatewayGroup === null ? [] : [gatewayGroup])])) {
      const rule = this.#status.get(group);
      this.#statusDestinations.set(group, this.#set(rule ? [rule] : [], false, group === gatewayGroup ? "csg" : null));
    }
    for (const service of services) this.#fallbacks.set(service, this.#set([], false, service));
  }

  #set(rules: readonly { readonly id: string }[], inbox: boolean, actor: string | null): DestinationSet {
    return Object.freeze({ instance: this.id, rules: Object.freeze(rules.map((rule) => rule.id)), inbox, actor });
  }

  hasGroup(group: string): boolean {
    return this.profile === "plain" || this.#groups.has(group);
  }

  hasParent(parent: string): boolean {
    return this.profile === "plain" || this.#parents.has(parent);
  }

  credential(accessKeyId: string): Credential | undefined {
    return this.#credentials.get(accessKeyId);
  }

  outboundRules(parent: string): readonly OutboundRule[] {
    return this.#outbound.get(parent) ?? [];
  }

  /** Outbound, inbound and status rules by id: what a record of the log names. */
  rule(id: string): OutboundRule | InboundRule | StatusRule | undefined {
    return this.#rules.get(id);
  }

  statusRule(group: string): StatusRule | undefined {
    return this.#status.get(group);
  }

  /** Which actor service takes the messages of a parent. */
  actorService(parent: string): ActorBinding | null {
    return this.#actors.get(parent) ?? null;
  }

  /**
   * Where a publish must arrive before it is acknowledged, the actor of the parent not counted;
   * null when nothing durable waits for it.
   */
  destinations(parent: string, qosAtLeast1: boolean, p2p: boolean): DestinationSet | null {
    const sets = this.#destinations.get(parent) ?? (this.profile === "plain" ? this.#plainDestinations : null);
    if (!sets) return null;
    if (p2p) return qosAtLeast1 ? sets.durableP2p : sets.fleetingP2p;
    return qosAtLeast1 ? sets.durable : sets.fleeting;
  }

  /** The set of a publish that goes to its actor by the log, because the shard has no owner. */
  actorFallback(service: string): DestinationSet | null {
    return this.#fallbacks.get(service) ?? null;
  }

  /** Where the presence events of a group go: its status rule, and the csg service for the gateway group. */
  statusDestinations(group: string): DestinationSet | null {
    return this.#statusDestinations.get(group) ?? null;
  }
}

function inboundRule(rule: Extract<InstanceRecord["rules"][number], { kind: "inbound" }>): InboundRule {
  const base = { id: rule.id, kind: rule.kind, topic: rule.topic, consumerGroup: rule.consumerGroup, cluster: rule.cluster };
  if (rule.parent !== undefined) return Object.freeze({ ...base, parent: rule.parent, service: null });
  return Object.freeze({
    ...base,
    parent: null,
    service: rule.service!,
    deviceProperty: rule.deviceProperty!,
    groupProperty: rule.groupProperty ?? null,
    group: rule.group ?? null,
  });
}
