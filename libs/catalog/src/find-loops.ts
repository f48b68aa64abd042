import type { CatalogDocument } from "./schema.ts";

interface Edge {
  readonly place: string;
  readonly id: string;
  readonly to: string;
}

/**
 * Ways on which a message would come back to where it started: parents and RocketMQ topics are
 * the nodes, outbound and inbound rules the edges. The topics of a cluster are the same for all
 * instances, so loops are looked for in the whole document.
 * @returns one line per loop, at the rule that closes it
 */
export function findLoops(document: CatalogDocument): string[] {
  const edges = new Map<string, Edge[]>();
  document.instances.forEach((instance, at) =>
    instance.rules.forEach((rule, index) => {
      if ((rule.kind !== "outbound" && rule.kind !== "inbound") || rule.parent === undefined) return;
      const parent = `parent ${instance.id}/${rule.parent}`;
      const topic = `topic ${rule.cluster}/${rule.topic}`;
      const [from, to] = rule.kind === "outbound" ? [parent, topic] : [topic, parent];
      const list = edges.get(from) ?? [];
      list.push({ place: `instances[${at}].rules[${index}]`, id: rule.id, to });
      edges.set(from, list);
    }),
  );

  const problems: string[] = [];
  const done = new Set<string>();
  const path: { node: string; edge: Edge | null }[] = [];
  const visit = (node: string, edge: Edge | null): void => {
    const start = path.findIndex((step) => step.node === node);
    if (start >= 0) {
      const rules = [...path.slice(start + 1).map((step) => step.edge!.id), edge!.id];
      problems.push(`${edge!.place}: rules ${rules.map((id) => `"${id}"`).join(", ")} make a loop`);
      return;
    }
    if (done.has(node)) return;
    path.push({ node, edge });
    for (const next of edges.get(node) ?? []) visit(next.to, next);
    path.pop();
    done.add(node);
  };
  for (const node of edges.keys()) visit(node, null);
  return problems;
}
