import { describe, expect, test } from "vitest";
import { equalSecrets, formatUserName, parseUserName, signClientId, verifySignature } from "../src/index.ts";

describe("signatures", () => {
  const clientId = "GID_Test@@@0001";
  const signature = "vI009IZJZVGRwBwZvnbwjfuXxVM=";

  test("the product's vector", () => expect(signClientId("XXXXX", clientId)).toBe(signature));

  test.each([
    ["the right one", "XXXXX", clientId, signature, true],
    ["as bytes", "XXXXX", clientId, Buffer.from(signature), true],
    ["another secret", "XXXXY", clientId, signature, false],
    ["another client", "XXXXX", "GID_Test@@@0002", signature, false],
    ["one character", "XXXXX", clientId, signature.replace("v", "w"), false],
    ["cut", "XXXXX", clientId, signature.slice(0, -1), false],
    ["longer", "XXXXX", clientId, `${signature}=`, false],
    ["nothing", "XXXXX", clientId, "", false],
  ])("%s", (_, secret, id, password, good) => expect(verifySignature(secret, id, password)).toBe(good));

  test("secrets of any length are compared", () => {
    expect([equalSecrets("abc", "abc"), equalSecrets("abc", "abd"), equalSecrets("abc", "ab"), equalSecrets("", "")]).toEqual([true, false, false, true]);
  });
});

describe("user names", () => {
  test.each([
    ["Signature|AK|inst", { mode: "signature", accessKeyId: "AK", instance: "inst" }],
    ["Token|AK|inst", { mode: "token", accessKeyId: "AK", instance: "inst" }],
    ["DeviceCredential|AK|inst", { mode: "deviceCredential", accessKeyId: "AK", instance: "inst" }],
  ] as const)("%s", (text, parsed) => {
    expect(parseUserName(text)).toEqual(parsed);
    expect(formatUserName(parsed.mode, parsed.accessKeyId, parsed.instance)).toBe(text);
  });

  test.each(["", "Signature", "Signature|AK", "Signature|AK|", "Signature||inst", "signature|AK|inst", "constructor|AK|inst", "Signature|AK|inst|x"])("%j is none", (text) => {
    expect(parseUserName(text)).toBe(null);
  });
});
