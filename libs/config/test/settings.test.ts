import { describe, expect, test } from "vitest";
import { envOfKey, findSetting, parseSetting, renderConfigurationDocs, settingKeys } from "../src/index.ts";

describe("the table of settings", () => {
  test.each(settingKeys().map((setting) => [setting.key, setting] as const))("%s is documented", (key, setting) => {
    expect(setting.env).toMatch(/^HAWSER_[A-Z0-9_]+$/);
    expect(setting.description).toMatch(/^[A-Z].{10,}\.$/);
    expect(setting.allowed).not.toContain("undefined");
    expect(findSetting(key)).toBe(setting);
    expect(findSetting(setting.env)).toBe(setting);
  });

  test("no two settings share a variable", () => {
    const names = settingKeys().map((setting) => setting.env);
    expect(new Set(names).size).toBe(names.length);
  });

  test.each([
    ["mqtt.maxKeepAliveSeconds", "HAWSER_MQTT_MAX_KEEP_ALIVE_SECONDS"],
    ["nats.url", "HAWSER_NATS_URL"],
    ["member.name", "HAWSER_MEMBER_NAME"],
  ])("%s is %s", (key, env) => expect(envOfKey(key)).toBe(env));

  test("docs/configuration.md is what the schema says; `vitest run libs/config -u` writes it", async () => {
    await expect(renderConfigurationDocs()).toMatchFileSnapshot("../../../docs/configuration.md");
  });
});

describe("parseSetting", () => {
  test.each([
    ["mqtt.tcpPort=2000", { key: "mqtt.tcpPort", env: "HAWSER_MQTT_TCP_PORT", value: "2000" }],
    ["HAWSER_CSG_REST_TOKEN=a=b", { key: "csg.restToken", env: "HAWSER_CSG_REST_TOKEN", value: "a=b" }],
    ["rocketmq.endpoints=", { key: "rocketmq.endpoints", env: "HAWSER_ROCKETMQ_ENDPOINTS", value: "" }],
  ])("%s", (text, parsed) => expect(parseSetting(text)).toEqual(parsed));

  test.each([
    ["mqtt.tcpPort", "KEY=VALUE"],
    ["=1", "KEY=VALUE"],
    ["mqtt.tcpPrt=1", "did you mean mqtt.tcpPort"],
    ["mqtt.tcpPort=70000", "a whole number from 0 to 65535"],
    ["mqtt.nothingLikeThat=1", "allowed: mqtt.host"],
  ])("%s is refused", (text, part) => expect(() => parseSetting(text)).toThrow(part));
});
