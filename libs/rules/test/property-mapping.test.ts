import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  decodePropertyValue,
  encodePropertyValue,
  inboundAddress,
  inboundProperties,
  isLoop,
  messageGroupOf,
  originMark,
  outboundProperties,
  type OutboundMessage,
  PROPERTIES_MAX_BYTES,
  reservedPropertyKeys,
  statusMessage,
} from "../src/index.ts";

const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const base: OutboundMessage = { topic: "demo/a/b", qos: 1, sender: "GID@@@1", persistent: false, publishedAtMs: 10_000, properties: null, traceparent: null, origin: null };

function out(changes: Partial<OutboundMessage>, nowMs = 10_000) {
  const result = outboundProperties({ ...base, ...changes }, nowMs);
  return { ...result, map: Object.fromEntries(result.properties) };
}

describe("MQTT to RocketMQ", () => {
  test("the product's properties", () => {
    expect(out({}).properties).toEqual([
      ["qoslevel", "1"],
      ["cleansessionflag", "true"],
      ["mqttSecondTopic", "/a/b"],
      ["clientId", "GID@@@1"],
      ["topic", "demo"],
    ]);
  });

  test.each<[string, Partial<OutboundMessage>, Record<string, string | undefined>]>([
    ["a bare parent has no second topic", { topic: "demo" }, { mqttSecondTopic: undefined, topic: "demo" }],
    ["P2P", { topic: "demo/p2p/GID@@@2" }, { mqttSecondTopic: "/p2p/GID@@@2" }],
    ["a persistent session", { persistent: true }, { cleansessionflag: "false" }],
    ["QoS 0", { qos: 0 }, { qoslevel: "0" }],
    ["QoS 2", { qos: 2 }, { qoslevel: "2" }],
    ["a sampled message", { traceparent }, { traceparent }],
    ["the loop guard", { origin: originMark("c", "t", "demo") }, { "hawser-origin": "c/t/demo" }],
    ["nobody sent it", { sender: "" }, { clientId: undefined }],
  ])("%s", (_, changes, expected) => {
    const { map } = out(changes);
    for (const [key, value] of Object.entries(expected)) expect(map[key]).toBe(value);
  });

  test("MQTT 5 properties", () => {
    const { map, dropped, encoded, expired } = out(
      {
        properties: {
          payloadFormat: 1,
          expirySeconds: 60,
          contentType: "text/plain",
          responseTopic: "demo/r",
          correlationData: Buffer.from([0, 255]),
          userProperties: [
            ["k", "v"],
            ["keys", "fine"],
          ],
        },
      },
      25_900,
    );
    expect(map).toMatchObject({
      "mqtt5-payload-format": "1",
      "mqtt5-expiry": "45",
      "mqtt5-content-type": "text/plain",
      "mqtt5-response-topic": "demo/r",
      "mqtt5-correlation-data": "AP8=",
      k: "v",
      keys: "fine",
    });
    expect({ dropped, encoded, expired }).toEqual({ dropped: { reserved: 0, illegal: 0, repeated: 0, limit: 0 }, encoded: 0, expired: false });
  });

  test.each([
    [59, 0, false],
    [60, 0, true],
    [60, 1, false],
    [3600, 0, true],
  ])("after %i s of 60 (+%i) a message has expired: %s", (age, more, expired) => {
    const result = out({ properties: { expirySeconds: 60 + more } }, 10_000 + age * 1000);
    expect(result.expired).toBe(expired);
    expect(Number(result.map["mqtt5-expiry"])).toBeGreaterThanOrEqual(0);
  });

  test("a repeated user property: the last wins, counted", () => {
    const result = out({ properties: { userProperties: [["a", "1"], ["b", "2"], ["a", "3"]] } });
    expect(result.map).toMatchObject({ a: "3", b: "2" });
    expect(result.dropped.repeated).toBe(1);
  });

  test.each([...reservedPropertyKeys, "qoslevel", "clientId", "topic", "mqttSecondTopic", "mqttRealTopic", "mqtt5-expiry", "mqtt5-encoded", "hawser-origin"])(
    "a client cannot set %s",
    (key) => {
      const result = out({ properties: { userProperties: [[key, "forged"]] } });
      expect(result.dropped.reserved).toBe(1);
      expect(Object.values(result.map)).not.toContain("forged");
    },
  );

  test("the sender's own trace context goes on only when the message has none", () => {
    const properties = { userProperties: [["traceparent", "theirs"]] as const };
    expect(out({ properties }).map["traceparent"]).toBe("theirs");
    expect(out({ properties, traceparent })).toMatchObject({ map: { traceparent }, dropped: { reserved: 1 } });
  });

  test("keys RocketMQ cannot carry are dropped", () => {
    const result = out({ properties: { userProperties: [["", "a"], ["a\tb", "c"], ["a\u007f", "d"], ["ok", "e"]] } });
    expect(result.dropped.illegal).toBe(3);
    expect(result.map["ok"]).toBe("e");
  });

  test("values RocketMQ cannot carry are encoded, and come back", () => {
    const userProperties = [["empty", ""], ["lines", "100%\nü"], ["a,b", "\u0007"], ["plain", "%20"]] as [string, string][];
    const result = out({ properties: { userProperties, contentType: "" } });
    expect(result.map).toMatchObject({ empty: "%", lines: "100%25%0Aü", plain: "%20", "mqtt5-encoded": "mqtt5-content-type,empty,lines,a%2Cb" });
    expect(result.encoded).toBe(4);
    expect(inboundProperties(result.map).properties).toEqual({ contentType: "", userProperties });
  });

  test("a topic with a control character still addresses its sub-topic", () => {
    const result = out({ topic: "demo/a\tb" });
    expect(result.map["mqttSecondTopic"]).toBe("/a%09b");
    expect(inboundProperties(result.map).secondTopic).toBe("/a\tb");
  });

  test("whatever a client sends, RocketMQ takes it", () => {
    const word = fc.oneof(fc.string({ maxLength: 20 }), fc.string({ unit: "binary", maxLength: 3000 }), fc.constantFrom("KEYS", "", "a"));
    const properties = fc.record(
      { userProperties: fc.array(fc.tuple(word, word), { maxLength: 200 }), contentType: word, responseTopic: word, correlationData: fc.uint8Array().map((bytes) => Buffer.from(bytes)) },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(properties, fc.string({ minLength: 1, maxLength: 500 }), (props, topic) => {
        const { properties: sent } = outboundProperties({ ...base, topic, properties: props }, 0);
        const keys = sent.map(([key]) => key);
        expect(sent.length).toBeLessThanOrEqual(120);
        expect(new Set(keys).size).toBe(keys.length);
        expect(sent.reduce((sum, [key, value]) => sum + Buffer.byteLength(key) + Buffer.byteLength(value), 0)).toBeLessThanOrEqual(PROPERTIES_MAX_BYTES);
        for (const [key, value] of sent) {
          expect(key + value).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/);
          expect(key).not.toBe("");
          expect(value).not.toBe("");
          expect(reservedPropertyKeys.has(key)).toBe(false);
        }
      }),
    );
  });

  test("encoding of values is undone by decoding", () => {
    fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => decodePropertyValue(encodePropertyValue(text)) === text));
  });
});

describe("RocketMQ to MQTT", () => {
  test("nothing said: QoS 1 on the bare parent, not stored", () => {
    expect(inboundProperties({})).toEqual({ qos: 1, secondTopic: "", realTopic: null, storable: false, traceparent: null, origin: null, properties: null, ignored: 0 });
  });

  test.each([
    [{ qoslevel: "0" }, { qos: 0 }],
    [{ qoslevel: "2" }, { qos: 2 }],
    [{ qoslevel: "3" }, { qos: 1, ignored: 1 }],
    [{ qoslevel: "" }, { qos: 1, ignored: 1 }],
    [{ cleansessionflag: "false" }, { storable: true }],
    [{ cleansessionflag: "FALSE" }, { storable: true }],
    [{ cleansessionflag: "true" }, { storable: false }],
    [{ mqttSecondTopic: "/a/b" }, { secondTopic: "/a/b" }],
    [{ mqttSecondTopic: "a" }, { secondTopic: "/a" }],
    [{ mqttRealTopic: "x/y" }, { realTopic: "x/y" }],
    [{ mqttRealTopic: "x/#" }, { realTopic: null, ignored: 1 }],
    [{ clientId: "GID@@@1", topic: "other" }, { properties: null }],
    [{ traceparent }, { traceparent, properties: null }],
    [{ "hawser-origin": "c/t/p" }, { origin: "c/t/p", properties: null }],
    [{ any: "thing" }, { properties: { userProperties: [["any", "thing"]] } }],
    [{ "mqtt5-expiry": "30" }, { properties: { expirySeconds: 30 } }],
    [{ "mqtt5-expiry": "4294967296" }, { properties: null, ignored: 1 }],
    [{ "mqtt5-expiry": "-1" }, { properties: null, ignored: 1 }],
    [{ "mqtt5-payload-format": "2" }, { properties: null, ignored: 1 }],
    [{ "mqtt5-response-topic": "a/+" }, { properties: null, ignored: 1 }],
    [{ "mqtt5-correlation-data": "AP8=" }, { properties: { correlationData: Buffer.from([0, 255]) } }],
  ] as [Record<string, string>, object][])("%j", (properties, expected) => expect(inboundProperties(properties)).toMatchObject(expected));

  test.each([
    ["", null, { topic: "demo", target: null }],
    ["/a/b", null, { topic: "demo/a/b", target: null }],
    ["/p2p/GID@@@1", null, { topic: "demo/p2p/GID@@@1", target: "GID@@@1" }],
    ["/p2p/GID@@@1", "shown/x", { topic: "shown/x", target: "GID@@@1" }],
    ["/a", "shown/x", { topic: "demo/a", target: null }],
  ])("second topic %j and real topic %j", (secondTopic, realTopic, address) => expect(inboundAddress("demo", { secondTopic, realTopic })).toEqual(address));

  test("what crossed both bridges is what was sent", () => {
    const key = fc.string({ unit: fc.constantFrom(..."abc,%-_ü"), minLength: 1, maxLength: 8 });
    const properties = fc.record(
      {
        payloadFormat: fc.constantFrom(0, 1),
        expirySeconds: fc.integer({ min: 1, max: 0xffff_ffff }),
        contentType: fc.string(),
        correlationData: fc.uint8Array().map((bytes) => Buffer.from(bytes)),
        userProperties: fc.uniqueArray(fc.tuple(key, fc.string({ unit: "binary", maxLength: 30 })), { selector: ([name]) => name, minLength: 1, maxLength: 10 }),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(properties, fc.constantFrom(0, 1, 2) as fc.Arbitrary<0 | 1 | 2>, fc.boolean(), (props, qos, persistent) => {
        const sent = outboundProperties({ ...base, qos, persistent, properties: props, traceparent }, base.publishedAtMs);
        const got = inboundProperties(Object.fromEntries(sent.properties));
        expect(got).toMatchObject({ qos, storable: persistent, secondTopic: "/a/b", traceparent, ignored: 0 });
        expect(got.properties ?? {}).toEqual(props);
      }),
    );
  });
});

test("a message goes round only on the very pair it came from", () => {
  const mark = originMark("default", "demo", "demo/x");
  expect([isLoop(mark, "default", "demo", "demo/x"), isLoop(mark, "default", "demo", "other"), isLoop(mark, "b", "demo", "demo/x"), isLoop(null, "default", "demo", "demo/x")]).toEqual([true, false, false, false]);
});

describe("message groups", () => {
  test.each(["GID@@@1", "x".repeat(63)])("%s stays as it is", (clientId) => expect(messageGroupOf(clientId)).toBe(clientId));
  test.each(["x".repeat(64), "ü".repeat(32), "a\tb", " ", ""])("%j is hashed", (clientId) => {
    expect(messageGroupOf(clientId)).toMatch(/^~[-_A-Za-z0-9]{43}$/);
  });
  test("two clients have two groups", () => expect(messageGroupOf("x".repeat(64))).not.toBe(messageGroupOf("x".repeat(65))));
});

test("a status event is the product's message", () => {
  const { tag, body } = statusMessage({ type: "tcpclean", clientId: "GID@@@1", channelId: "c1", clientIp: "1.2.3.4:5", atMs: 7 });
  expect(tag).toBe("tcpclean");
  expect(JSON.parse(body.toString())).toEqual({ clientId: "GID@@@1", time: 7, eventType: "tcpclean", channelId: "c1", clientIp: "1.2.3.4:5" });
});
