/**
 * The shape of a catalogue: instances with their groups, parent topics, rules and credentials. A
 * document a person writes is read strictly (a typing error is told); a stored record is read
 * leniently, so that members of version N understand what N+1 has written during an upgrade.
 */
import { z } from "zod";

const NAME = /^[-_a-zA-Z0-9]{1,64}$/;
const PARENT = /^[^$/+#\p{C}\p{Z}][^/+#\p{C}\p{Z}]{0,63}$/u;
const ROCKETMQ_NAME = /^[%a-zA-Z0-9_-]{1,127}$/;
/** No `|`, which separates the parts of a user name. */
const ACCESS_KEY = /^[^|\p{C}\p{Z}]{1,128}$/u;

const name = z.string().regex(NAME, "must be 1 to 64 letters, digits, - and _");
const group = z.string().regex(NAME, "must be a Group ID: 1 to 64 letters, digits, - and _");
const parent = z.string().regex(PARENT, "must be one topic level of 1 to 64 characters, without / + # $ or white space");
const topic = z.string().regex(ROCKETMQ_NAME, "must be a RocketMQ topic: 1 to 127 of a-z A-Z 0-9 % _ -");
const consumerGroup = z.string().regex(ROCKETMQ_NAME, "must be a RocketMQ consumer group: 1 to 127 of a-z A-Z 0-9 % _ -");
const property = z.string().min(1).max(128);
const cluster = name.default("default");

function schemas(object: typeof z.strictObject) {
  const outbound = object({
    id: name,
    kind: z.literal("outbound"),
    parent,
    topic,
    cluster,
    order: z.enum(["none", "client"]).default("none"),
    p2p: z.boolean().default(false),
    qos0: z.boolean().default(false),
  });
  const inbound = object({
    id: name,
    kind: z.literal("inbound"),
    topic,
    consumerGroup,
    cluster,
    parent: parent.optional(),
    service: name.optional(),
    deviceProperty: property.optional(),
    groupProperty: property.optional(),
    group: group.optional(),
  });
  const status = object({ id: name, kind: z.literal("status"), group, topic, cluster });
  const actor = object({ id: name, kind: z.literal("actor"), parent, service: name, live: z.boolean().default(false) });
  const credential = object({
    accessKeyId: z.string().regex(ACCESS_KEY, "must be 1 to 128 printable characters without |"),
    accessKeySecret: z.string().min(1).max(256),
    groups: z.array(z.union([z.literal("*"), group])).min(1),
    kind: z.enum(["signature"]).default("signature"),
  });
  const instance = object({
    id: name,
    profile: z.enum(["product", "plain"]).default("product"),
    csg: object({ group, up: parent, down: parent }).optional(),
    groups: z.array(group).default([]),
    parents: z.array(parent).default([]),
    rules: z.array(z.discriminatedUnion("kind", [outbound, inbound, status, actor])).default([]),
    credentials: z.array(credential).default([]),
  });
  return { instance, document: object({ instances: z.array(instance) }) };
}

export const documentSchema = schemas(z.strictObject).document;
/** Unknown keys are left out. */
export const recordSchema = schemas(z.object as unknown as typeof z.strictObject).instance;

export type CatalogDocument = z.output<typeof documentSchema>;
export type InstanceRecord = z.output<typeof recordSchema>;
export type RuleRecord = InstanceRecord["rules"][number];
export type Credential = Readonly<InstanceRecord["credentials"][number]>;
export type Profile = InstanceRecord["profile"];
export const ruleKinds: readonly string[] = ["outbound", "inbound", "status", "actor"];
