import { compileInstance, parseCatalogYaml } from "@hawser/catalog";
import { describe, expect, it } from "vitest";
import { routePublish } from "../src/route-publish.ts";

const limits = { maxTopicLength: 64 };

function instance(profile: "product" | "plain" = "product") {
  const document = parseCatalogYaml(JSON.stringify({
    instances: [
      {
        id: "default",
        profile,
        csg: { group: "GID_gateway", up: "csgUp", down: "csgDown" },
        groups: ["GID_gateway"],
        parents: ["demo", "csgUp", "csgDown"],
        rules: [
          { id: "out", kind: "outbound", parent: "demo", topic: "demo" },
          { id: "up", kind: "actor", parent: "csgUp", service: "csg" },
        ],
        credentials: [],
      },
    ],
  }));
  return compileInstance(document.instances[0]!, 1);
}

describe("a publish", () => {
  it("on an ordinary topic goes live, and above QoS 0 into the log for its rules and for inboxes", () => {
    const route = routePublish(instance(), "demo/room/1", limits);
    expect(route).toMatchObject({ kind: "ordinary", subject: "m.default.demo.room.1", qos0: null });
    expect(route.kind === "ordinary" && route.acknowledged).toMatchObject({ rules: ["out"], inbox: true });
  });

  it("to a Client ID is P2P, whose last level does not count for the length", () => {
    const target = `GID_gateway@@@${"x".repeat(50)}`;
    expect(routePublish(instance(), `demo/p2p/${target}`, limits)).toMatchObject({ kind: "p2p", target });
  });

  it("on a parent bound to a service goes to the sender's actor and not live", () => {
    expect(routePublish(instance(), "csgUp/gw-1/r", limits)).toEqual({ kind: "actor", service: "csg", device: "gw-1", liveSubject: null });
  });

  it.each([
    ["nowhere/x", "unknown-parent-topic"],
    [`demo/${"x".repeat(60)}`, "topic-too-long"],
    ["demo/+/x", "topic-wildcard"],
    ["", "topic-empty"],
    ["$SYS/x", "reserved-topic"],
    ["demo/p2p", "topic-p2p"],
  ])("on %j is refused: %s", (topic, reason) => {
    expect(routePublish(instance(), topic, limits)).toMatchObject({ kind: "refused", reason });
  });

  it("on $SYS/enableOrderMsg is accepted and has no effect", () => {
    expect(routePublish(instance(), "$SYS/enableOrderMsg", limits)).toEqual({ kind: "ignored" });
  });

  it("in the plain profile may name any topic of any length", () => {
    expect(routePublish(instance("plain"), `any/${"x".repeat(2000)}`, limits)).toMatchObject({ kind: "ordinary", subject: "m.default.%%" });
    expect(routePublish(instance("plain"), "a/p2p", limits)).toMatchObject({ kind: "ordinary" });
  });

  it("in the plain profile is P2P below a declared parent only: elsewhere p2p is a word like any other", () => {
    expect(routePublish(instance("plain"), "a/p2p/x", limits)).toMatchObject({ kind: "ordinary", subject: "m.default.a.p2p.x" });
    expect(routePublish(instance("plain"), "demo/p2p/x", limits)).toMatchObject({ kind: "p2p", target: "x" });
  });
});
