import { refusalOf, type WillInfo } from "@hawser/mqtt";
import { describe, expect, it } from "vitest";
import { unsupportedConnect } from "../src/unsupported-connect.ts";

const will: WillInfo = { topic: "a", payload: Buffer.alloc(0), qos: 1, retain: false, properties: null, delaySeconds: 0 };
const kept: WillInfo = { ...will, retain: true };

describe("a CONNECT", () => {
  it.each([
    ["an authentication method", { level: 5, authMethod: "SCRAM-SHA-1", will: null }, 0x8c],
    ["a retained will", { level: 5, authMethod: null, will: kept }, 0x9a],
  ] as const)("of MQTT 5 with %s is refused with its reason code", (_what, request, reasonCode) => {
    expect(refusalOf(unsupportedConnect(request)!.code)).toMatchObject({ reasonCode });
  });

  it.each([
    ["of MQTT 5 with a will", { level: 5, authMethod: null, will }],
    ["of 3.1.1 with a retained will, which was never told that there is no retain", { level: 4, authMethod: null, will: kept }],
  ] as const)("%s goes on", (_what, request) => {
    expect(unsupportedConnect(request)).toBeNull();
  });
});
