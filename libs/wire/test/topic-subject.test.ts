import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { actorToken, decodeToken, encodeToken, filterSubjects, fnv1a32, partitionOf, shardOf, SUBJECT_TOKENS_MAX_BYTES, topicSubject } from "../src/index.ts";

/** [MQTT-4.7.1-2, 4.7.1-3, 4.7.2-1], written from the text of the standard. */
function mqttMatches(filter: string, topic: string): boolean {
  if (/^[+#]/.test(filter) && topic.startsWith("$")) return false;
  const [filterLevels, topicLevels] = [filter.split("/"), topic.split("/")];
  for (let at = 0; at < filterLevels.length; at++) {
    if (filterLevels[at] === "#") return true;
    if (at >= topicLevels.length) return false;
    if (filterLevels[at] !== "+" && filterLevels[at] !== topicLevels[at]) return false;
    // `a/#` also matches `a`
    if (at === topicLevels.length - 1 && filterLevels[at + 1] === "#") return true;
  }
  return filterLevels.length === topicLevels.length;
}

/** NATS: `*` is one token, `>` one or more at the end. */
function natsMatches(pattern: string, subject: string): boolean {
  const [patternTokens, subjectTokens] = [pattern.split("."), subject.split(".")];
  for (let at = 0; at < patternTokens.length; at++) {
    if (patternTokens[at] === ">") return subjectTokens.length > at;
    if (at >= subjectTokens.length || (patternTokens[at] !== "*" && patternTokens[at] !== subjectTokens[at])) return false;
  }
  return patternTokens.length === subjectTokens.length;
}

const ODD = ["", ".", "*", ">", " ", "$", "$SYS", "%", "%%", "%2e", "a.b", "é", "水", "🚀", "\t", "a*", ">>", "@@@", "\u00a0"];
const level = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom("a", "b", "c") },
  { weight: 3, arbitrary: fc.constantFrom(...ODD) },
  { weight: 1, arbitrary: fc.string({ unit: "binary", maxLength: 8 }) },
  { weight: 1, arbitrary: fc.constantFrom("x".repeat(200), "水".repeat(60), "y".repeat(600)) },
);
// U+0000 and wildcards do not stand in a topic name; an empty topic is none
const topicLevel = level.map((value) => value.replaceAll(/[+#/\0]/g, ""));
const topic = fc.array(topicLevel, { minLength: 1, maxLength: 5 }).map((levels) => levels.join("/")).filter((value) => value !== "");
/** A filter made of a topic's levels, so that it often matches. */
const filterAndTopic = topic.chain((name) =>
  fc.tuple(fc.array(fc.nat(5), { minLength: 5, maxLength: 5 }), fc.option(fc.nat(5)), fc.option(topicLevel)).map(([picks, cut, other]) => {
    let levels = name.split("/").map((text, at) => (picks[at]! <= 1 ? "+" : picks[at] === 5 && other !== null ? other : text));
    if (cut !== null) levels = [...levels.slice(0, cut), "#"];
    return { filter: levels.join("/"), topic: name };
  }),
);

describe("topics and filters as subjects", () => {
  it("where MQTT says that a filter matches, some subject of the filter hears the topic's", () => {
    let matched = 0;
    fc.assert(
      fc.property(filterAndTopic, ({ filter, topic: name }) => {
        if (filter === "" || !mqttMatches(filter, name)) return;
        matched++;
        const subject = topicSubject("default", name);
        expect(filterSubjects("default", filter).some((pattern) => natsMatches(pattern, subject))).toBe(true);
      }),
      { numRuns: 3000 },
    );
    expect(matched).toBeGreaterThan(500);
  });

  it("any filter against any topic, too", () => {
    const filterLevel = fc.oneof(topicLevel, fc.constantFrom("+", "+", "a"));
    const filter = fc.tuple(fc.array(filterLevel, { maxLength: 4 }), fc.boolean()).map(([levels, multi]) => [...levels, ...(multi ? ["#"] : [])].join("/")).filter((value) => value !== "");
    fc.assert(
      fc.property(filter, topic, (each, name) => {
        if (!mqttMatches(each, name)) return;
        const subject = topicSubject("default", name);
        expect(filterSubjects("default", each).some((pattern) => natsMatches(pattern, subject))).toBe(true);
      }),
      { numRuns: 3000 },
    );
  });

  it("every subject is legal for NATS, and holds at most 512 bytes of tokens", () => {
    fc.assert(
      fc.property(topic, fc.string({ unit: "binary", minLength: 1, maxLength: 10 }), (name, instance) => {
        const subject = topicSubject(instance, name);
        expect(subject).toMatch(/^m(\.[0-9A-Za-z_@=:,%-]+)+$/);
        const prefix = `m.${encodeToken(instance)}.`;
        expect(subject.startsWith(prefix)).toBe(true);
        expect(subject.length - prefix.length).toBeLessThanOrEqual(SUBJECT_TOKENS_MAX_BYTES);
      }),
      { numRuns: 1000 },
    );
  });

  it("every pattern of a filter is legal for NATS, and stays in its instance", () => {
    fc.assert(
      fc.property(filterAndTopic, ({ filter }) => {
        if (filter === "") return;
        const patterns = filterSubjects("default", filter);
        expect(patterns.length).toBeGreaterThanOrEqual(1);
        expect(patterns.length).toBeLessThanOrEqual(3);
        expect(new Set(patterns).size).toBe(patterns.length);
        for (const pattern of patterns) expect(pattern).toMatch(/^m\.default(\.([0-9A-Za-z_@=:,%-]+|\*))*(\.>)?$/);
      }),
      { numRuns: 1000 },
    );
  });

  it("two topics share a subject only when both are too long for one", () => {
    fc.assert(
      fc.property(topic, topic, (one, other) => {
        const [first, second] = [topicSubject("default", one), topicSubject("default", other)];
        if (one === other) expect(first).toBe(second);
        else if (first === second) expect(first).toBe("m.default.%%");
      }),
      { numRuns: 3000 },
    );
    const short = "a/".repeat(255) + "ab";
    expect(Buffer.byteLength(short)).toBe(512);
    expect(topicSubject("default", short)).not.toBe("m.default.%%");
    expect(topicSubject("default", `${short}c`)).toBe("m.default.%%");
  });

  it("a topic's own filter hears nothing else, as long as it is short", () => {
    fc.assert(
      fc.property(topic, topic, (one, other) => {
        const [pattern] = filterSubjects("default", one.replaceAll(/[+#]/g, ""));
        if (one !== other && pattern !== "m.default.%%") expect(natsMatches(pattern!, topicSubject("default", other))).toBe(false);
      }),
    );
  });

  it("a token reads back, is legal, and belongs to one text", () => {
    fc.assert(
      fc.property(level, level, (one, other) => {
        expect(decodeToken(encodeToken(one))).toBe(one);
        expect(encodeToken(one)).toMatch(/^[0-9A-Za-z_@=:,%-]+$/);
        if (one !== other) expect(encodeToken(one)).not.toBe(encodeToken(other));
      }),
      { numRuns: 1000 },
    );
  });
});

describe("places", () => {
  it("of a Client ID never change", () => {
    // FNV-1a's published test vectors
    expect([fnv1a32(""), fnv1a32("a"), fnv1a32("foobar")]).toEqual([0x811c9dc5, 0xe40c292c, 0xbf9cf968]);
    expect(fnv1a32("水")).toBe(Buffer.from("水").reduce((hash, byte) => Math.imul(hash ^ byte, 0x01000193) >>> 0, 0x811c9dc5));
    expect(shardOf("default", "GID_demo@@@d1", 64)).toBe(fnv1a32("default/GID_demo@@@d1") % 64);
    expect(partitionOf("default", "GID_demo@@@d1", 2)).toBe(fnv1a32("default/GID_demo@@@d1") % 2);
  });

  it("of Client IDs are spread over the shards", () => {
    const counts = new Map<number, number>();
    for (let device = 0; device < 6400; device++) {
      const shard = shardOf("default", `GID_demo@@@device-${device}`, 64);
      counts.set(shard, (counts.get(shard) ?? 0) + 1);
    }
    expect(counts.size).toBe(64);
    expect(Math.max(...counts.values())).toBeLessThan(160);
  });

  it("an actor's token is one legal token of 22 characters", () => {
    fc.assert(fc.property(fc.string(), fc.string(), (instance, clientId) => void expect(actorToken(instance, clientId)).toMatch(/^[-_0-9A-Za-z]{22}$/)));
  });
});
