import { describe, expect, test } from "vitest";
import { parseCatalogYaml, validateCatalog } from "../src/index.ts";
import { exampleDocument, exampleYaml } from "./example.ts";

type Document = ReturnType<typeof exampleDocument>;

function problems(change: (document: Document, first: Document["instances"][0]) => void): readonly string[] {
  const document = exampleDocument();
  change(document, document.instances[0]);
  const result = validateCatalog(document);
  return result.ok ? [] : result.problems;
}

describe("a catalogue", () => {
  test("that is right gets its defaults", () => {
    const { instances } = parseCatalogYaml(exampleYaml);
    expect(instances[0]!.rules[0]).toEqual({ id: "demo-out", kind: "outbound", parent: "demo", topic: "demo", cluster: "default", order: "none", p2p: false, qos0: false });
    expect(instances[0]!.credentials[0]!.kind).toBe("signature");
    expect(instances[1]).toMatchObject({ groups: [], parents: [], credentials: [] });
  });

  test("without instances is right too", () => expect(validateCatalog({ instances: [] }).ok).toBe(true));

  test.each<[string, (document: Document, first: Document["instances"][0]) => void, string]>([
    ["a typing error", (_, i) => (i.parent = []), 'instances[0]: "parent" is not known here'],
    ["an unknown key of a rule", (_, i) => (i.rules[0].qos = 1), 'instances[0].rules[0]: "qos" is not known here'],
    ["an unknown kind", (_, i) => (i.rules[0].kind = "out"), "instances[0].rules[0].kind: "],
    ["an unknown order", (_, i) => (i.rules[0].order = "fifo"), "instances[0].rules[0].order: "],
    ["no instances", (d) => delete d.instances, "instances: "],
    ["an instance twice", (d) => (d.instances[1].id = "default"), 'instances[1].id: instance "default" is there twice'],
    ["a group twice", (_, i) => i.groups.push("GID_demo"), 'instances[0].groups[3]: group "GID_demo" is there twice'],
    ["a parent twice", (_, i) => i.parents.push("demo"), 'instances[0].parents[6]: parent "demo" is there twice'],
    ["a rule twice", (_, i) => (i.rules[1].id = "demo-out"), 'instances[0].rules[1].id: rule "demo-out" is there twice'],
    ["a credential twice", (_, i) => (i.credentials[1].accessKeyId = "AK"), 'instances[0].credentials[1].accessKeyId: credential "AK" is there twice'],
    ["an undeclared parent", (_, i) => (i.rules[0].parent = "x"), 'instances[0].rules[0].parent: parent "x" is not declared'],
    ["an undeclared parent of an inbound rule", (_, i) => (i.rules[4].parent = "x"), 'instances[0].rules[4].parent: parent "x" is not declared'],
    ["an undeclared parent of an actor rule", (_, i) => (i.rules[8].parent = "x"), 'instances[0].rules[8].parent: parent "x" is not declared'],
    ["an undeclared group", (_, i) => (i.rules[5].group = "x"), 'instances[0].rules[5].group: group "x" is not declared'],
    ["an undeclared group of a credential", (_, i) => i.credentials[0].groups.push("x"), 'instances[0].credentials[0].groups[1]: group "x" is not declared'],
    ["an undeclared gateway group", (_, i) => (i.csg.group = "x"), 'instances[0].csg.group: group "x" is not declared'],
    ["two status rules of a group", (_, i) => (i.rules[6].group = "GID_demo"), 'instances[0].rules[6].group: group "GID_demo" has status rule "demo-status" already'],
    ["two actor rules of a parent", (_, i) => (i.rules[8].parent = "csgUp"), 'instances[0].rules[8].parent: parent "csgUp" is bound by rule "csg-up" already'],
    ["an outbound rule on a parent of an actor alone", (_, i) => (i.rules[0].parent = "csgUp"), 'instances[0].rules[0].parent: parent "csgUp" belongs to actor rule "csg-up", which is not live'],
    ["an inbound rule on one", (_, i) => (i.rules[4].parent = "csgUp"), 'instances[0].rules[4].parent: parent "csgUp" belongs to actor rule "csg-up", which is not live'],
    ["the same pair twice", (_, i) => (i.rules[1].topic = "demo"), 'instances[0].rules[1]: sends parent "demo" to topic "demo" as rule "demo-out" does'],
    ["a consumer group twice", (_, i) => (i.rules[9].consumerGroup = "hawser-demo-down"), 'instances[0].rules[9].consumerGroup: "hawser-demo-down" is used by rule "demo-in" already'],
    ["an inbound rule without target", (_, i) => delete i.rules[4].parent, "instances[0].rules[4]: an inbound rule needs parent or service"],
    ["one with two", (_, i) => (i.rules[4].service = "csg"), "instances[0].rules[4]: an inbound rule has either parent, or service with its properties"],
    ["one without the device's property", (_, i) => delete i.rules[9].deviceProperty, "instances[0].rules[9].deviceProperty: an inbound rule with service needs it"],
    ["one without a group", (_, i) => (delete i.rules[9].group, delete i.rules[9].groupProperty), "instances[0].rules[9]: an inbound rule with service needs group or groupProperty"],
    ["gateways whose uplink nobody takes", (_, i) => (i.csg.up = "demo"), 'instances[0].csg.up: parent "demo" needs an actor rule with service csg'],
    ["one parent for up and down", (_, i) => (i.csg.down = "csgUp"), "instances[0].csg.down: up and down must be different parents"],
    ["an actor on the way down", (_, i) => (i.csg.down = "both"), 'instances[0].csg.down: parent "both" must not belong to an actor rule'],
    ["a loop of two rules", (_, i) => (i.rules[4].topic = "demo"), 'instances[0].rules[4]: rules "demo-out", "demo-in" make a loop'],
    ["too many parents", (_, i) => i.parents.push(...Array.from({ length: 20 }, (_, at) => `p${at}`)), "instances[0].parents: 26 parents, at most 25 are allowed"],
    ["a wildcard as parent", (_, i) => i.parents.push("a+"), "instances[0].parents[6]: must be one topic level"],
    ["a topic level with a slash", (_, i) => i.parents.push("a/b"), "instances[0].parents[6]: must be one topic level"],
    ["a system topic as parent", (_, i) => i.parents.push("$SYS"), "instances[0].parents[6]: must be one topic level"],
    ["a group nobody could connect with", (_, i) => i.groups.push("GID@@@"), "instances[0].groups[3]: must be a Group ID"],
    ["a credential for nobody", (_, i) => (i.credentials[0].groups = []), "instances[0].credentials[0].groups: "],
    ["an access key with a bar", (_, i) => (i.credentials[0].accessKeyId = "a|b"), "instances[0].credentials[0].accessKeyId: must be"],
    ["an empty secret", (_, i) => (i.credentials[0].accessKeySecret = ""), "instances[0].credentials[0].accessKeySecret: "],
    ["a RocketMQ topic with a dot", (_, i) => (i.rules[0].topic = "a.b"), "instances[0].rules[0].topic: must be a RocketMQ topic"],
  ])("with %s is refused at the place", (_, change, expected) => {
    expect(problems(change).map((line) => line.slice(0, expected.length))).toContain(expected);
  });

  test("a loop through two instances is found", () => {
    const lines = problems((document, first) => {
      first.rules.push({ id: "back", kind: "inbound", topic: "any", consumerGroup: "g1", parent: "quiet" }, { id: "away", kind: "outbound", parent: "quiet", topic: "hop" });
      document.instances[1].rules.push({ id: "hop-in", kind: "inbound", topic: "hop", consumerGroup: "g2", parent: "any" });
    });
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain("make a loop");
    expect(lines[0]).toContain('"back", "away"');
  });

  test("two ways to one place are no loop", () => {
    expect(problems((_, first) => first.rules.push({ id: "back", kind: "inbound", topic: "demo", consumerGroup: "g1", parent: "quiet" }))).toEqual([]);
  });

  test("every problem is told, in one line", () => {
    const text = exampleYaml.replace("parent: demo, topic: demo}", "parent: x, topic: demo}").replace("group: GID_demo, topic", "group: GID_x, topic");
    expect(() => parseCatalogYaml(text)).toThrow(
      'catalogue: instances[0].rules[0].parent: parent "x" is not declared; instances[0].rules[5].group: group "GID_x" is not declared',
    );
  });

  test("text that is no YAML is one line", () => {
    expect(() => parseCatalogYaml("a: [")).toThrow(/^catalogue is not YAML: [^\n]+$/);
  });
});
