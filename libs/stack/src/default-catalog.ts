/**
 * The catalogue a stack starts with, and the RocketMQ topics and groups it needs. `apply` replaces
 * the first; topics and groups of one's own are created with RocketMQ's tools.
 */
import type { InstanceRecord } from "@hawser/catalog";
import type { RocketMqAdmin, TopicType } from "@hawser/rocketmq";

export const INSTANCE = "default";

export interface DefaultCatalogOptions {
  readonly plain: boolean;
  /** Without RocketMQ there is no rule that names it. */
  readonly rocketmq: boolean;
  readonly accessKeyId: string;
  readonly accessKeySecret: string;
  /** In front of every topic and consumer group, so that several stacks share one RocketMQ. */
  readonly prefix: string;
}

type Topics = Readonly<Record<"demo" | "demoDown" | "status" | "csgCommand" | "csgReply" | "csgEvent" | "csgStatus", string>>;
type Groups = Readonly<Record<"demoDown" | "csgCommand" | "appDemo" | "appStatus" | "appReply" | "appEvent" | "appCsgStatus", string>>;

export function defaultTopics(prefix: string): Topics {
  return {
    demo: `${prefix}demo`,
    demoDown: `${prefix}demo-down`,
    status: `${prefix}mqtt-status`,
    csgCommand: `${prefix}csg-cmd`,
    csgReply: `${prefix}csg-cmd-reply`,
    csgEvent: `${prefix}csg-event`,
    csgStatus: `${prefix}csg-status`,
  };
}

/** The first two are Hawser's own, the others wait for applications. */
export function defaultGroups(prefix: string): Groups {
  return {
    demoDown: `${prefix}hawser-demo-down`,
    csgCommand: `${prefix}hawser-csg-cmd`,
    appDemo: `${prefix}app-demo`,
    appStatus: `${prefix}app-status`,
    appReply: `${prefix}app-reply`,
    appEvent: `${prefix}app-event`,
    appCsgStatus: `${prefix}app-csg-status`,
  };
}

export function defaultCatalog(options: DefaultCatalogOptions): { readonly instances: readonly InstanceRecord[] } {
  const topics = defaultTopics(options.prefix);
  const groups = defaultGroups(options.prefix);
  const cluster = "default";
  const out = { kind: "outbound", cluster, order: "none", p2p: false, qos0: false } as const;
  const throughRocketMq: InstanceRecord["rules"] = [
    { ...out, id: "demo-out", parent: "demo", topic: topics.demo },
    { id: "demo-in", kind: "inbound", cluster, topic: topics.demoDown, consumerGroup: groups.demoDown, parent: "demo" },
    { id: "demo-status", kind: "status", cluster, group: "GID_demo", topic: topics.status },
    { id: "gateway-status", kind: "status", cluster, group: "GID_gateway", topic: topics.status },
    {
      id: "csg-cmd",
      kind: "inbound",
      cluster,
      topic: topics.csgCommand,
      consumerGroup: groups.csgCommand,
      service: "csg",
      deviceProperty: "device_id",
      groupProperty: "group_id",
      group: "GID_gateway",
    },
    { ...out, id: "csg-status", parent: "csgStatus", topic: topics.csgStatus },
  ];
  return {
    instances: [
      {
        id: INSTANCE,
        profile: options.plain ? "plain" : "product",
        csg: { group: "GID_gateway", up: "csgUp", down: "csgDown" },
        groups: ["GID_demo", "GID_gateway"],
        parents: ["demo", "csgUp", "csgDown", "csgStatus"],
        rules: [...(options.rocketmq ? throughRocketMq : []), { id: "csg-up", kind: "actor", parent: "csgUp", service: "csg", live: false }],
        credentials: [{ accessKeyId: options.accessKeyId, accessKeySecret: options.accessKeySecret, groups: ["GID_demo", "GID_gateway"], kind: "signature" }],
      },
    ],
  };
}

/** Creates what the default catalogue and its applications need; what is there stays. */
export async function createTopicsAndGroups(admin: RocketMqAdmin, prefix: string): Promise<void> {
  const topics = defaultTopics(prefix);
  const groups = defaultGroups(prefix);
  const fifoTopics = new Set([topics.csgCommand, topics.csgReply]);
  const fifoGroups = new Set([groups.csgCommand, groups.appReply]);
  await Promise.all([
    ...Object.values(topics).map((topic) => admin.topic(topic, (fifoTopics.has(topic) ? "FIFO" : "NORMAL") satisfies TopicType)),
    ...Object.values(groups).map((group) => admin.group(group, { fifo: fifoGroups.has(group) })),
  ]);
  await admin.announce();
}
