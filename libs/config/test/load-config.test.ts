import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HawserError } from "@hawser/errors";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { bootName, type Environment, loadConfig, redactedConfig, settingKeys } from "../src/index.ts";

const folder = mkdtempSync(join(tmpdir(), "hawser-config-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;
function yaml(text: string): string {
  const file = join(folder, `${files++}.yaml`);
  writeFileSync(file, text);
  return file;
}

function refusal(env: Environment, file?: string): HawserError {
  try {
    loadConfig(env, file === undefined ? {} : { file });
  } catch (error) {
    expect(error).toBeInstanceOf(HawserError);
    return error as HawserError;
  }
  throw new Error("was not refused");
}

describe("loadConfig", () => {
  test("nothing set gives the defaults, with the host's name as member", () => {
    const config = loadConfig({ PATH: "/bin" }, { hostname: "box.example.org" });
    expect(config).toMatchObject({
      nats: { url: "nats://127.0.0.1:4222" },
      layout: { shards: 64, partitions: 2 },
      mqtt: { tcpPort: 1883, tlsPort: 0, maxKeepAliveSeconds: 480, maxTopicLength: 64, maxSubscriptions: 30 },
      plain: { denySubscribe: [] },
      rocketmq: { endpoints: "" },
      telemetry: { otlpEndpoint: "", sampleRatio: 0.01 },
      logging: { level: "info" },
      member: { name: "box-example-org" },
    });
  });

  test("every default is allowed when it is written as text", () => {
    const env = Object.fromEntries(settingKeys().map((setting) => [setting.env, String(setting.default)]));
    expect(loadConfig(env, { hostname: "h" })).toEqual(loadConfig({}, { hostname: "h" }));
  });

  test("text becomes the type of its setting", () => {
    const config = loadConfig({ HAWSER_MQTT_TCP_PORT: " 2883 ", HAWSER_TELEMETRY_SAMPLE_RATIO: "0.5", HAWSER_PLAIN_DENY_SUBSCRIBE: "#, $SYS/#" });
    expect(config.mqtt.tcpPort).toBe(2883);
    expect(config.telemetry.sampleRatio).toBe(0.5);
    expect(config.plain.denySubscribe).toEqual(["#", "$SYS/#"]);
  });

  test("an empty variable of a number counts as not set", () => {
    expect(loadConfig({ HAWSER_MQTT_TCP_PORT: "" }).mqtt.tcpPort).toBe(1883);
  });

  test("the result is frozen to its leaves", () => {
    const config = loadConfig({ HAWSER_PLAIN_DENY_SUBSCRIBE: "#" });
    expect([config, config.mqtt, config.plain.denySubscribe].every((part) => Object.isFrozen(part))).toBe(true);
  });

  test("the environment wins over the file, the file over the default", () => {
    const file = yaml("mqtt: {tcpPort: 1, maxConnections: 2}\nplain:\n  denySubscribe: ['#', 'a/#']\nhealth:\n");
    const config = loadConfig({ HAWSER_CONFIG: file, HAWSER_MQTT_MAX_CONNECTIONS: "3" });
    expect(config.mqtt).toMatchObject({ tcpPort: 1, maxConnections: 3, maxPacketBytes: 131_072 });
    expect(config.plain.denySubscribe).toEqual(["#", "a/#"]);
  });

  test("POD_NAME names the member unless the setting does", () => {
    expect(loadConfig({ POD_NAME: "hawser-ingress-7d-x" }).member.name).toBe("hawser-ingress-7d-x");
    expect(loadConfig({ POD_NAME: "pod", HAWSER_MEMBER_NAME: "ingress-0" }).member.name).toBe("ingress-0");
  });

  test("names of the launcher and of Kubernetes Services are not settings and not errors", () => {
    loadConfig({
      HAWSER_CACHE: "/c",
      HAWSER_EXIT_WITH_PARENT: "1",
      HAWSER_INGRESS_SERVICE_HOST: "10.0.0.1",
      HAWSER_INGRESS_SERVICE_PORT_MQTT: "1883",
      HAWSER_INGRESS_PORT: "tcp://10.0.0.1:1883",
      HAWSER_INGRESS_PORT_1883_TCP_ADDR: "10.0.0.1",
    });
  });
});

describe("a refused setting is told in one line", () => {
  test.each<[string, Environment, string, string[]]>([
    ["a typing error", { HAWSER_MQTT_TCPPORT: "1" }, "HAWSER_E_CONFIG_UNKNOWN_KEY", ["HAWSER_MQTT_TCPPORT", "HAWSER_MQTT_TCP_PORT"]],
    ["an unknown name of a known area", { HAWSER_HEALTH_INTERVAL_SECONDS: "1" }, "HAWSER_E_CONFIG_UNKNOWN_KEY", ["allowed: HAWSER_HEALTH_HOST, HAWSER_HEALTH_PORT"]],
    ["an unknown area", { HAWSER_BANANA: "1" }, "HAWSER_E_CONFIG_UNKNOWN_KEY", ["HAWSER_BANANA", "HAWSER_MQTT_*", "HAWSER_NATS_*"]],
    ["a service link that is none", { HAWSER_INGRESS_PORT: "1883" }, "HAWSER_E_CONFIG_UNKNOWN_KEY", ["HAWSER_INGRESS_PORT"]],
    ["no number", { HAWSER_MQTT_TCP_PORT: "mqtt" }, "HAWSER_E_CONFIG_BAD_VALUE", ['HAWSER_MQTT_TCP_PORT: "mqtt" is not allowed', "a whole number from 0 to 65535"]],
    ["a fraction of a whole number", { HAWSER_MQTT_TCP_PORT: "1.5" }, "HAWSER_E_CONFIG_BAD_VALUE", ["HAWSER_MQTT_TCP_PORT"]],
    ["out of range", { HAWSER_TELEMETRY_SAMPLE_RATIO: "1.01" }, "HAWSER_E_CONFIG_BAD_VALUE", ["a number from 0 to 1"]],
    ["not one of the choices", { HAWSER_LOGGING_LEVEL: "loud" }, "HAWSER_E_CONFIG_BAD_VALUE", ["one of trace, debug"]],
    ["a wrong form", { HAWSER_NATS_URL: "localhost" }, "HAWSER_E_CONFIG_BAD_VALUE", ["nats://host:port"]],
    ["a secret is not shown", { HAWSER_ROCKETMQ_ENDPOINTS: "x", HAWSER_CSG_REST_TOKEN: "hush" }, "HAWSER_E_CONFIG_BAD_VALUE", ["HAWSER_ROCKETMQ_ENDPOINTS"]],
    ["two at once", { HAWSER_MQTT_TCP_PORT: "x", HAWSER_MQTT_MAX_CONNECTIONS: "y" }, "HAWSER_E_CONFIG_BAD_VALUE", ["HAWSER_MQTT_TCP_PORT", "HAWSER_MQTT_MAX_CONNECTIONS"]],
    ["TLS without certificate", { HAWSER_MQTT_TLS_PORT: "8883" }, "HAWSER_E_CONFIG_BAD_VALUE", ["mqtt.tlsPort", "tls.certFile"]],
    ["a dead time not above the own one", { HAWSER_SHARDS_SELF_MS: "5000" }, "HAWSER_E_CONFIG_BAD_VALUE", ["shards.selfMs must be less than shards.deadMs"]],
    ["two replicas", { HAWSER_NATS_REPLICAS: "2" }, "HAWSER_E_CONFIG_BAD_VALUE", ["1, 3 or 5"]],
  ])("%s", (_, env, code, parts) => {
    const error = refusal(env);
    expect(error.code).toBe(code);
    for (const part of parts) expect(error.message).toContain(part);
    expect(error.message).not.toMatch(/\n|hush/);
  });

  test.each<[string, string, string[]]>([
    ["an unknown key", "mqtt: {tcpport: 1}", ["mqtt.tcpport", "did you mean mqtt.tcpPort"]],
    ["a value of the wrong type", "mqtt: {tcpPort: '1883'}", ["mqtt.tcpPort", "whole number"]],
    ["a list where there is none", "- mqtt", ["must hold areas"]],
    ["an area that is none", "mqtt: 3", ["mqtt must hold"]],
    ["broken YAML", "mqtt: {", ["configuration file"]],
  ])("in a file: %s", (_, text, parts) => {
    const file = yaml(text);
    const error = refusal({}, file);
    for (const part of [file, ...parts]) expect(error.message).toContain(part);
    expect(error.message).not.toContain("\n");
  });

  test("a file that is not there", () => {
    expect(refusal({ HAWSER_CONFIG: join(folder, "none.yaml") })).toMatchObject({ code: "HAWSER_E_CONFIG_FILE" });
  });

  test("whatever the text, a number is either in range or refused with its key", () => {
    const integers = settingKeys().filter((setting) => setting.type === "integer");
    fc.assert(
      fc.property(fc.constantFrom(...integers), fc.oneof(fc.string(), fc.integer().map(String), fc.double().map(String)), (setting, written) => {
        const [area, name] = setting.key.split(".") as ["mqtt", "tcpPort"];
        try {
          const value = loadConfig({ [setting.env]: written })[area][name];
          expect(Number.isSafeInteger(value)).toBe(true);
          expect([String(value), String(setting.default)]).toContain(written.trim() === "" ? String(setting.default) : String(Number(written)));
        } catch (error) {
          if (!(error instanceof HawserError)) throw error;
          // a cross check names keys, a leaf its variable
          expect(error.message.includes(setting.env) || error.message.includes(setting.key)).toBe(true);
        }
      }),
    );
  });
});

test("secrets are left out of what is shown", () => {
  const shown = redactedConfig(loadConfig({ HAWSER_CSG_REST_TOKEN: "hush", HAWSER_ROCKETMQ_SECRET_KEY: "hush", HAWSER_ROCKETMQ_ACCESS_KEY: "id" }));
  expect(JSON.stringify(shown)).not.toContain("hush");
  expect(shown).toMatchObject({ csg: { restToken: "***" }, rocketmq: { accessKey: "id" } });
});

test("each boot of a member has another name, made of harmless characters", () => {
  expect(bootName("ingress-0", 1_700_000_000_000, Uint8Array.of(0, 35, 36, 255))).toBe("ingress-0_loyw3v280z03");
  expect(bootName("ingress-0")).toMatch(/^ingress-0_[0-9a-z]+$/);
});
