import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkPlainClientId, formatClientId, parseClientId } from "../src/index.ts";

describe("a Client ID", () => {
  test.each([
    ["GID_Test@@@0001", "GID_Test", "0001"],
    ["a@@@b", "a", "b"],
    ["GID-x_9@@@-_-", "GID-x_9", "-_-"],
    [`${"g".repeat(30)}@@@${"d".repeat(31)}`, "g".repeat(30), "d".repeat(31)],
  ])("%s is a group and a device", (text, group, device) => {
    expect(parseClientId(text)).toEqual({ ok: true, group, device });
    expect(formatClientId(group, device)).toBe(text);
  });

  test.each([
    ["", "empty"],
    [`${"g".repeat(30)}@@@${"d".repeat(32)}`, "too-long"],
    ["GID_Test", "no-separator"],
    ["GID_Test@@0001", "no-separator"],
    ["@@@0001", "empty-group"],
    ["GID_Test@@@", "empty-device"],
    ["GID_Test@@@a@@@b", "character"],
    ["GID Test@@@1", "character"],
    ["GID@@@#", "character"],
    ["GID@@@+", "character"],
    ["GID@@@a/b", "character"],
    ["GID@@@a\u0000", "character"],
    ["GID@@@a\u200b", "character"],
    ["GID@@@a.b", "character"],
    ["GID@@@ü", "character"],
  ])("%j is refused: %s", (text, problem) => {
    expect(parseClientId(text)).toEqual({ ok: false, problem });
  });

  test("other printable characters can be allowed, those of topics and invisible ones never", () => {
    const extraCharacters = ".:ü+#/ \u200b\u0000";
    expect(parseClientId("GID.x@@@a:ü", { extraCharacters })).toMatchObject({ ok: true, device: "a:ü" });
    for (const char of ["+", "#", "/", " ", "\u200b", "\u0000"]) expect(parseClientId(`GID@@@a${char}`, { extraCharacters })).toEqual({ ok: false, problem: "character" });
    expect(parseClientId("GID@@@a,b", { extraCharacters })).toEqual({ ok: false, problem: "character" });
  });

  test("the length is a setting", () => {
    expect(parseClientId("GID@@@abc", { maxLength: 8 })).toEqual({ ok: false, problem: "too-long" });
    expect(parseClientId("GID@@@abc", { maxLength: 9 })).toMatchObject({ ok: true });
  });

  test("what is accepted is made of two parts that give it back", () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(..."aZ0-_@+#/ .é"), maxLength: 70 }), (text) => {
        const parsed = parseClientId(text);
        if (!parsed.ok) return;
        expect(formatClientId(parsed.group, parsed.device)).toBe(text);
        expect(text).toMatch(/^[-_0-9a-zA-Z]+@@@[-_0-9a-zA-Z]+$/);
        expect(text.length).toBeLessThanOrEqual(64);
      }),
    );
  });

  test("a part that holds the separator makes none", () => {
    expect(() => formatClientId("g@", "d")).toThrow(RangeError);
  });

  test.each([
    ["anything goes/+#", null],
    ["", "empty"],
    ["x".repeat(256), "too-long"],
    ["a\u0000", "character"],
    ["a\ud800", "character"],
  ])("in the plain profile %j is %s", (text, problem) => expect(checkPlainClientId(text)).toBe(problem));
});
