import { describe, expect, test } from "vitest";
import { compileInstance, parseCatalogYaml } from "../src/index.ts";
import { exampleYaml } from "./example.ts";

const [product, plain] = parseCatalogYaml(exampleYaml).instances.map((instance) => compileInstance(instance, 3)) as [ReturnType<typeof compileInstance>, ReturnType<typeof compileInstance>];

describe("destinations of a publish", () => {
  test.each<[string, boolean, boolean, { rules: string[]; inbox: boolean } | null]>([
    ["demo", true, false, { rules: ["demo-out", "demo-audit"], inbox: true }],
    ["demo", false, false, { rules: ["demo-audit"], inbox: false }],
    ["demo", true, true, { rules: ["demo-audit"], inbox: false }],
    ["demo", false, true, { rules: ["demo-audit"], inbox: false }],
    ["room", true, false, { rules: ["room-out"], inbox: true }],
    ["room", false, false, null],
    ["room", true, true, { rules: ["room-out"], inbox: false }],
    ["room", false, true, null],
    ["quiet", true, false, { rules: [], inbox: true }],
    ["quiet", false, false, null],
    ["quiet", true, true, null],
    ["csgDown", true, true, null],
    ["csgUp", true, false, null],
    ["csgUp", false, false, null],
    ["both", true, false, { rules: ["both-out"], inbox: true }],
    ["unknown", true, false, null],
  ])("parent %s, QoS above 0: %s, P2P: %s", (parent, qosAtLeast1, p2p, expected) => {
    const set = product.destinations(parent, qosAtLeast1, p2p);
    expect(set).toEqual(expected && { instance: "default", actor: null, ...expected });
    expect(product.destinations(parent, qosAtLeast1, p2p)).toBe(set);
  });

  test("the plain profile knows every parent", () => {
    expect(plain.destinations("any", true, false)).toEqual({ instance: "open", rules: ["open-out"], inbox: true, actor: null });
    expect(plain.destinations("other", true, false)).toEqual({ instance: "open", rules: [], inbox: true, actor: null });
    expect(plain.destinations("other", true, false)).toBe(plain.destinations("another", true, false));
    expect([plain.destinations("other", false, false), plain.destinations("other", true, true)]).toEqual([null, null]);
  });

  test("what goes to its actor by the log names the service", () => {
    expect(product.actorFallback("csg")).toEqual({ instance: "default", rules: [], inbox: false, actor: "csg" });
    expect(product.actorFallback("none")).toBe(null);
  });
});

describe("destinations of presence events", () => {
  test.each([
    ["GID_demo", { rules: ["demo-status"], actor: null }],
    ["GID_gateway", { rules: ["gw-status"], actor: "csg" }],
    ["GID_quiet", null],
    ["unknown", null],
  ])("group %s", (group, expected) => {
    expect(product.statusDestinations(group)).toEqual(expected && { instance: "default", inbox: false, ...expected });
  });

  test("the gateway group needs no status rule", () => {
    const record = parseCatalogYaml(exampleYaml).instances[0]!;
    const compiled = compileInstance({ ...record, rules: record.rules.filter((rule) => rule.kind !== "status") });
    expect(compiled.statusDestinations("GID_gateway")).toMatchObject({ rules: [], actor: "csg" });
    expect(compiled.statusDestinations("GID_demo")).toBe(null);
  });
});

describe("lookups", () => {
  test("groups and parents", () => {
    expect([product.hasGroup("GID_demo"), product.hasGroup("x"), product.hasParent("demo"), product.hasParent("x")]).toEqual([true, false, true, false]);
    expect([plain.hasGroup("x"), plain.hasParent("x")]).toEqual([true, true]);
  });

  test("names of every object's own properties are no groups and no parents", () => {
    for (const name of ["constructor", "__proto__", "toString"]) expect([product.hasParent(name), product.credential(name), product.rule(name)]).toEqual([false, undefined, undefined]);
  });

  test("rules by id, by parent, by kind", () => {
    expect(product.rule("demo-out")).toBe(product.outboundRules("demo")[0]);
    expect(product.rule("gw-status")).toBe(product.statusRule("GID_gateway"));
    expect(product.inboundRules.map((rule) => [rule.id, rule.parent, rule.service])).toEqual([
      ["demo-in", "demo", null],
      ["csg-cmd", null, "csg"],
    ]);
    expect(product.rule("csg-cmd")).toMatchObject({ deviceProperty: "device_id", groupProperty: "group_id", group: "GID_gateway" });
    expect(product.actorService("csgUp")).toEqual({ service: "csg", live: false });
    expect(product.actorService("demo")).toBe(null);
    expect(product.outboundRules("quiet")).toEqual([]);
    expect(product.clusters).toEqual(["default", "second"]);
    expect([product.version, product.csg]).toEqual([3, { group: "GID_gateway", up: "csgUp", down: "csgDown" }]);
  });
});
