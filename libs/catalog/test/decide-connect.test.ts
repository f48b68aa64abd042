import { errorTable } from "@hawser/errors";
import { signClientId } from "@hawser/rules";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { authenticate, compileInstance, instanceOf, parseCatalogYaml } from "../src/index.ts";
import { exampleYaml } from "./example.ts";

const [product, plain] = parseCatalogYaml(exampleYaml).instances.map((instance) => compileInstance(instance)) as [ReturnType<typeof compileInstance>, ReturnType<typeof compileInstance>];
const clientId = "GID_demo@@@0001";
const userName = "Signature|AK|default";
const password = signClientId("XXXXX", clientId);

describe("the product profile", () => {
  test("a signature of a key with the right to the group is let in", () => {
    expect(authenticate(product, { clientId, userName, password: Buffer.from(password) })).toEqual({
      ok: true,
      principal: { instance: "default", clientId, group: "GID_demo", device: "0001", mode: "signature", accessKeyId: "AK" },
    });
  });

  test("a key for all groups is let in with any group there is", () => {
    const id = "GID_quiet@@@1";
    expect(authenticate(product, { clientId: id, userName: "Signature|ROOT|default", password: signClientId("YYYYY", id) }).ok).toBe(true);
  });

  test.each<[string, Partial<Parameters<typeof authenticate>[1]>, string, number, number]>([
    ["a Client ID without group", { clientId: "x" }, "client-id", 2, 0x85],
    ["one that is too long", { clientId: `GID_demo@@@${"x".repeat(54)}` }, "client-id", 2, 0x85],
    ["one with a wildcard", { clientId: "GID_demo@@@#" }, "client-id", 2, 0x85],
    ["a group that does not exist", { clientId: "GID_none@@@1" }, "unknown-group", 2, 0x85],
    ["no user name", { userName: null }, "bad-user-name", 4, 0x86],
    ["a user name of another form", { userName: "admin" }, "bad-user-name", 4, 0x86],
    ["another instance", { userName: "Signature|AK|open" }, "bad-user-name", 4, 0x86],
    ["a mode that is not there yet", { userName: "Token|AK|default" }, "mode-not-supported", 4, 0x86],
    ["an unknown key", { userName: "Signature|NONE|default" }, "unknown-key", 4, 0x86],
    ["an unknown key, signed with what stands for no secret", { userName: "Signature|NONE|default", password: signClientId("-", clientId) }, "unknown-key", 4, 0x86],
    ["no password", { password: null }, "no-password", 4, 0x86],
    ["an empty password", { password: "" }, "bad-signature", 4, 0x86],
    ["the signature of another client", { password: signClientId("XXXXX", "GID_demo@@@0002") }, "bad-signature", 4, 0x86],
    ["the signature of another secret", { password: signClientId("YYYYY", clientId) }, "bad-signature", 4, 0x86],
    ["a known key without the right to this group", { clientId: "GID_quiet@@@1", password: signClientId("XXXXX", "GID_quiet@@@1") }, "group-not-allowed", 5, 0x87],
  ])("%s is refused", (_, change, reason, mqtt3, mqtt5) => {
    const decision = authenticate(product, { clientId, userName, password, ...change });
    expect(decision).toMatchObject({ ok: false, reason });
    const { code, detail } = decision as Extract<typeof decision, { ok: false }>;
    expect(errorTable[code]).toMatchObject({ mqtt3, mqtt5 });
    expect(detail).not.toContain("XXXXX");
  });

  test("settings widen the Client ID", () => {
    const id = "GID_demo@@@a.b";
    const identity = { clientId: id, userName, password: signClientId("XXXXX", id) };
    expect([authenticate(product, identity).ok, authenticate(product, identity, { extraCharacters: "." }).ok]).toEqual([false, true]);
  });

  test("nobody gets in by guessing", () => {
    const word = fc.oneof(fc.string(), fc.constantFrom("AK", "ROOT", "default", "Signature", clientId, userName));
    fc.assert(fc.property(word, fc.option(word), fc.option(word), (id, user, pass) => !authenticate(product, { clientId: id, userName: user, password: pass }).ok));
  });
});

describe("the plain profile", () => {
  test.each([
    ["anything at all", "", "anything at all"],
    ["GID@@@1", "GID", "1"],
  ])("%s comes in without credentials", (id, group, device) => {
    expect(authenticate(plain, { clientId: id, userName: null, password: null })).toMatchObject({ ok: true, principal: { mode: "anonymous", group, device, accessKeyId: null } });
  });

  test("but not without a Client ID", () => {
    expect(authenticate(plain, { clientId: "", userName: null, password: null })).toMatchObject({ ok: false, reason: "client-id" });
  });
});

test("without a catalogue everybody is refused", () => {
  expect(authenticate(undefined, { clientId, userName, password })).toMatchObject({ ok: false, reason: "unknown-instance" });
});

test("the user name names the instance, else the listener's default is meant", () => {
  expect([instanceOf(userName, "d"), instanceOf("Token|AK|other", "d"), instanceOf("admin", "d"), instanceOf(null, "d")]).toEqual(["default", "other", "d", "d"]);
});
