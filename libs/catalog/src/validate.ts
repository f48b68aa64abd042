/**
 * What the schema cannot say of a catalogue: references, duplicates, rules that exclude each other,
 * loops. Every problem is one line that begins with its place: `instances[0].rules[2].parent: ...`.
 */
import { HawserError } from "@hawser/errors";
import { parse as parseYaml } from "yaml";
import type { z } from "zod";
import { findLoops } from "./find-loops.ts";
import { type CatalogDocument, documentSchema, type InstanceRecord } from "./schema.ts";

export interface ValidateOptions {
  /** Parent topics an instance may have. */
  readonly maxParents?: number;
}

export type Validated = { readonly ok: true; readonly document: CatalogDocument } | { readonly ok: false; readonly problems: readonly string[] };

export function validateCatalog(input: unknown, options: ValidateOptions = {}): Validated {
  const parsed = documentSchema.safeParse(input ?? {});
  if (!parsed.success) return { ok: false, problems: parsed.error.issues.map(issueLine) };
  const document = parsed.data;
  const problems: string[] = [];
  noDuplicates(problems, "instances", document.instances.map((instance) => instance.id), "id", "instance");
  document.instances.forEach((instance, at) => checkInstance(problems, `instances[${at}]`, instance, options.maxParents ?? 25));
  checkConsumerGroups(problems, document);
  problems.push(...findLoops(document));
  return problems.length === 0 ? { ok: true, document } : { ok: false, problems };
}

/** @throws HawserError HAWSER_E_CATALOG_INVALID with every problem in one line */
export function parseCatalogYaml(text: string, options: ValidateOptions = {}): CatalogDocument {
  let input: unknown;
  try {
    input = parseYaml(text);
  } catch (cause) {
    throw new HawserError("HAWSER_E_CATALOG_INVALID", `catalogue is not YAML: ${(cause as Error).message.split("\n")[0]}`, { cause });
  }
  const result = validateCatalog(input, options);
  if (!result.ok) throw new HawserError("HAWSER_E_CATALOG_INVALID", `catalogue: ${result.problems.join("; ")}`);
  return result.document;
}

function issueLine(issue: z.core.$ZodIssue): string {
  const place = issue.path.reduce<string>((text, part) => (typeof part === "number" ? `${text}[${part}]` : text === "" ? String(part) : `${text}.${String(part)}`), "");
  const message = issue.code === "unrecognized_keys" ? `${issue.keys.map((key) => `"${key}"`).join(", ")} is not known here` : issue.message;
  return `${place === "" ? "catalogue" : place}: ${message}`;
}

function noDuplicates(problems: string[], place: string, values: readonly string[], key: string, what: string): void {
  const seen = new Set<string>();
  values.forEach((value, at) => {
    if (seen.has(value)) problems.push(`${place}[${at}]${key === "" ? "" : `.${key}`}: ${what} "${value}" is there twice`);
    seen.add(value);
  });
}

function checkInstance(problems: string[], place: string, instance: InstanceRecord, maxParents: number): void {
  const { rules, credentials, csg } = instance;
  noDuplicates(problems, `${place}.groups`, instance.groups, "", "group");
  noDuplicates(problems, `${place}.parents`, instance.parents, "", "parent");
  noDuplicates(problems, `${place}.rules`, rules.map((rule) => rule.id), "id", "rule");
  noDuplicates(problems, `${place}.credentials`, credentials.map((credential) => credential.accessKeyId), "accessKeyId", "credential");
  if (instance.parents.length > maxParents) problems.push(`${place}.parents: ${instance.parents.length} parents, at most ${maxParents} are allowed`);

  // the plain profile knows any group and any parent
  const plain = instance.profile === "plain";
  const needGroup = (at: string, group: string): void => {
    if (!plain && !instance.groups.includes(group)) problems.push(`${at}: group "${group}" is not declared`);
  };
  const needParent = (at: string, parent: string): void => {
    if (!plain && !instance.parents.includes(parent)) problems.push(`${at}: parent "${parent}" is not declared`);
  };

  const actorOf = new Map<string, { id: string; live: boolean }>();
  rules.forEach((rule, at) => {
    if (rule.kind !== "actor") return;
    const known = actorOf.get(rule.parent);
    if (known) problems.push(`${place}.rules[${at}].parent: parent "${rule.parent}" is bound by rule "${known.id}" already`);
    else actorOf.set(rule.parent, { id: rule.id, live: rule.live });
  });
  const statusOf = new Map<string, string>();
  const pairs = new Map<string, string>();
  rules.forEach((rule, index) => {
    const at = `${place}.rules[${index}]`;
    if (rule.kind === "status") {
      needGroup(`${at}.group`, rule.group);
      const known = statusOf.get(rule.group);
      if (known !== undefined) problems.push(`${at}.group: group "${rule.group}" has status rule "${known}" already`);
      statusOf.set(rule.group, rule.id);
    } else if (rule.kind === "inbound" && rule.parent === undefined) {
      if (rule.service === undefined) problems.push(`${at}: an inbound rule needs parent or service`);
      else if (rule.deviceProperty === undefined) problems.push(`${at}.deviceProperty: an inbound rule with service needs it`);
      else if (rule.group === undefined && rule.groupProperty === undefined) problems.push(`${at}: an inbound rule with service needs group or groupProperty`);
      if (rule.group !== undefined) needGroup(`${at}.group`, rule.group);
    } else {
      needParent(`${at}.parent`, rule.parent!);
      if (rule.kind === "inbound" && (rule.service ?? rule.deviceProperty ?? rule.groupProperty ?? rule.group) !== undefined)
        problems.push(`${at}: an inbound rule has either parent, or service with its properties`);
      const actor = rule.kind === "actor" ? undefined : actorOf.get(rule.parent!);
      if (actor && !actor.live) problems.push(`${at}.parent: parent "${rule.parent}" belongs to actor rule "${actor.id}", which is not live`);
    }
    if (rule.kind === "outbound") {
      const pair = `${rule.parent}\u0000${rule.cluster}\u0000${rule.topic}`;
      const known = pairs.get(pair);
      if (known !== undefined) problems.push(`${at}: sends parent "${rule.parent}" to topic "${rule.topic}" as rule "${known}" does`);
      pairs.set(pair, rule.id);
    }
  });

  if (csg) {
    needGroup(`${place}.csg.group`, csg.group);
    needParent(`${place}.csg.up`, csg.up);
    needParent(`${place}.csg.down`, csg.down);
    if (csg.up === csg.down) problems.push(`${place}.csg.down: up and down must be different parents`);
    if (!rules.some((rule) => rule.kind === "actor" && rule.service === "csg" && rule.parent === csg.up)) problems.push(`${place}.csg.up: parent "${csg.up}" needs an actor rule with service csg`);
    if (actorOf.has(csg.down)) problems.push(`${place}.csg.down: parent "${csg.down}" must not belong to an actor rule`);
  }
  credentials.forEach((credential, at) => credential.groups.forEach((group, index) => (group === "*" ? undefined : needGroup(`${place}.credentials[${at}].groups[${index}]`, group))));
}

/** A consumer group with two subscriptions loses messages of both. */
function checkConsumerGroups(problems: string[], document: CatalogDocument): void {
  const seen = new Map<string, string>();
  document.instances.forEach((instance, at) =>
    instance.rules.forEach((rule, index) => {
      if (rule.kind !== "inbound") return;
      const key = `${rule.cluster}\u0000${rule.consumerGroup}`;
      const known = seen.get(key);
      if (known !== undefined) problems.push(`instances[${at}].rules[${index}].consumerGroup: "${rule.consumerGroup}" is used by rule "${known}" already`);
      seen.set(key, rule.id);
    }),
  );
}
