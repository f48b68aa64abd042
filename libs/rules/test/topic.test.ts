import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkTopicFilter, checkTopicName, filterMatches, isP2pTopic, p2pFilterAllowed, p2pTarget, p2pTopic, parentOf, parseShare, secondTopicOf, topicProblemCode } from "../src/index.ts";

const client = "GID_Test@@@0001";

describe("a topic name", () => {
  test.each([
    ["a", null],
    ["a/b/c", null],
    ["/a", null],
    ["a//b/", null],
    ["x".repeat(64), null],
    ["", "empty"],
    ["x".repeat(65), "too-long"],
    ["a/+", "wildcard"],
    ["a/#", "wildcard"],
    ["a#b", "wildcard"],
    ["a\u0000", "nul"],
    ["a\udfff", "surrogate"],
    ["a/p2p", "p2p"],
    ["a/p2p/", "p2p"],
    ["a/p2p/x/y", "p2p"],
    ["a/p2px", null],
    ["a/b/p2p/x/y", null],
  ])("%j: %s", (topic, problem) => expect(checkTopicName(topic)).toBe(problem));

  test("the Client ID level of a P2P topic does not count", () => {
    const parent = "p".repeat(59);
    expect(checkTopicName(`${parent}/p2p/${"c".repeat(64)}`)).toBe(null);
    expect(checkTopicName(`${parent}x/p2p/${"c".repeat(64)}`)).toBe("too-long");
  });

  test("characters count, not their halves, and the length is a setting", () => {
    expect(checkTopicName("😀".repeat(64))).toBe(null);
    expect(checkTopicName("😀".repeat(65))).toBe("too-long");
    expect(checkTopicName("abcd", { maxLength: 3 })).toBe("too-long");
    expect(checkTopicName("é".repeat(32_767), { maxLength: 65_535 })).toBe(null);
    expect(checkTopicName("é".repeat(32_768), { maxLength: 65_535 })).toBe("too-long");
  });
});

describe("a topic filter", () => {
  test.each([
    ["#", null],
    ["+", null],
    ["+/+/#", null],
    ["a/+/b", null],
    ["/#", null],
    ["a//#", null],
    ["$SYS/#", null],
    ["$share/g/a/#", null],
    ["a#", "wildcard"],
    ["a/#/b", "wildcard"],
    ["a+", "wildcard"],
    ["+a", "wildcard"],
    ["a/+b/c", "wildcard"],
    ["##", "wildcard"],
    ["", "empty"],
    ["a\u0000", "nul"],
    ["x".repeat(65), "too-long"],
    ["$share/g", "share"],
    ["$share/g/", "share"],
    ["$share//a", "share"],
    ["$share/+/a", "share"],
    ["$share", "share"],
    ["$share/g/a#", "wildcard"],
  ])("%j: %s", (filter, problem) => expect(checkTopicFilter(filter)).toBe(problem));

  test("the share name does not count", () => expect(checkTopicFilter(`$share/group/${"x".repeat(64)}`)).toBe(null));

  test("a share is taken apart", () => expect(parseShare("$share/g/a/b")).toEqual({ share: "g", filter: "a/b" }));
});

test("problems have their codes", () => {
  expect([topicProblemCode("too-long", "name"), topicProblemCode("wildcard", "name"), topicProblemCode("too-long", "filter")]).toEqual([
    "HAWSER_E_TOPIC_TOO_LONG",
    "HAWSER_E_TOPIC_NAME",
    "HAWSER_E_TOPIC_FILTER",
  ]);
});

describe("parent and sub-topic", () => {
  test.each([
    ["a/b/c", "a", "/b/c"],
    ["a", "a", ""],
    ["a/", "a", "/"],
    ["/a", "", "/a"],
  ])("%j is %j and %j", (topic, parent, second) => {
    expect([parentOf(topic), secondTopicOf(topic)]).toEqual([parent, second]);
  });
});

describe("P2P", () => {
  test.each([
    [p2pTopic("demo", client), client],
    ["demo/p2p/x", "x"],
    ["demo/p2p", null],
    ["demo/p2p/", null],
    ["demo/p2p/x/y", null],
    ["demo/x/p2p/y", null],
    ["p2p/x", null],
    ["/p2p/x", "x"],
  ])("%s is for %s", (topic, target) => expect(p2pTarget(topic)).toBe(target));

  test.each([
    ["demo/p2p", true],
    ["demo/p2p/x/y", true],
    ["demo/p2pp", false],
    ["p2p/demo", false],
    ["demo", false],
  ])("whether %s lies in the P2P space: %s", (topic, is) => expect(isP2pTopic(topic)).toBe(is));

  test.each([
    [`demo/p2p/${client}`, true],
    ["demo/#", true],
    ["demo/+/x", true],
    ["demo/p2p/GID_Test@@@0002", false],
    ["demo/p2p/+", false],
    ["demo/p2p/#", false],
    ["+/p2p/#", false],
    [`demo/p2p/${client}/#`, false],
    ["$share/g/demo/p2p/#", false],
    [`$share/g/demo/p2p/${client}`, false],
  ])("a client may subscribe to %s: %s", (filter, allowed) => expect(p2pFilterAllowed(filter, client)).toBe(allowed));
});

describe("a filter matches", () => {
  test.each([
    ["a/b", "a/b", true],
    ["a/b", "a/bc", false],
    ["a/b", "a", false],
    ["a", "a/b", false],
    ["a/+", "a/b", true],
    ["a/+", "a/", true],
    ["a/+", "a", false],
    ["a/+", "a/b/c", false],
    ["+/b", "/b", true],
    ["+", "/b", false],
    ["+/+", "/b", true],
    ["/+", "/b", true],
    ["a/#", "a", true],
    ["a/#", "a/", true],
    ["a/#", "a/b/c", true],
    ["a/#", "ab", false],
    ["a/+/#", "a", false],
    ["a/+/#", "a/b", true],
    ["#", "a/b", true],
    ["#", "/", true],
    ["#", "$SYS/x", false],
    ["+/x", "$SYS/x", false],
    ["$SYS/#", "$SYS/x", true],
    ["a/+/c", "a/$x/c", true],
    ["a//b", "a//b", true],
    ["a/b/", "a/b", false],
  ])("%s and %s: %s", (filter, topic, matches) => expect(filterMatches(filter, topic)).toBe(matches));

  /** [MQTT-4.7] in its plainest form. */
  function slow(filter: string[], topic: string[]): boolean {
    if (filter.length === 0) return topic.length === 0;
    if (filter[0] === "#") return true;
    return topic.length > 0 && (filter[0] === "+" || filter[0] === topic[0]) && slow(filter.slice(1), topic.slice(1));
  }

  test("as the plain form of the rule says, whatever the levels", () => {
    const level = fc.constantFrom("", "a", "b", "ab", "$x");
    const topics = fc.array(level, { minLength: 1, maxLength: 4 });
    const filters = fc
      .tuple(fc.array(fc.oneof(level, fc.constant("+")), { minLength: 1, maxLength: 4 }), fc.boolean())
      .map(([levels, multi]) => (multi ? [...levels, "#"] : levels));
    fc.assert(
      fc.property(topics, filters, (topic, filter) => {
        const dollar = topic[0]!.startsWith("$") && (filter[0] === "+" || filter[0] === "#");
        expect(filterMatches(filter.join("/"), topic.join("/"))).toBe(!dollar && slow(filter, topic));
      }),
      { numRuns: 2000 },
    );
  });
});
