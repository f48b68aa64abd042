import { describe, expect, test } from "vitest";
import { errorLine, errorTable, HawserError, isHawserError, listenError } from "../src/index.ts";

describe("the table of errors", () => {
  test.each(Object.entries(errorTable))("%s has a message of one line and legal MQTT codes", (code, entry) => {
    expect(code).toMatch(/^HAWSER_E_[A-Z0-9_]+$/);
    expect(entry.message).toMatch(/^[^\n]{3,80}$/);
    if ("mqtt5" in entry) expect(entry.mqtt5).toBeGreaterThanOrEqual(0x80);
    if ("mqtt3" in entry) expect([1, 2, 3, 4, 5, 0x80]).toContain(entry.mqtt3);
  });

  test("the codes of a refused CONNECT are those of the product", () => {
    const codes = (["HAWSER_E_CLIENT_ID", "HAWSER_E_BAD_CREDENTIALS", "HAWSER_E_NOT_AUTHORIZED"] as const).map((code) => [
      errorTable[code].mqtt3,
      errorTable[code].mqtt5,
    ]);
    expect(codes).toEqual([
      [2, 0x85],
      [4, 0x86],
      [5, 0x87],
    ]);
  });
});

describe("HawserError", () => {
  test("without a detail the message is the table's", () => {
    const error = new HawserError("HAWSER_E_NATS_AWAY");
    expect(error).toMatchObject({ name: "HawserError", message: "NATS is away", retryable: true, mqtt5: 0x88, mqtt3: 3 });
  });

  test("a detail of several lines becomes one line", () => {
    expect(new HawserError("HAWSER_E_CONFIG_FILE", "bad\n  indent\nhere").message).toBe("bad indent here");
  });

  test("isHawserError tells codes apart", () => {
    const error: unknown = new HawserError("HAWSER_E_TIMEOUT");
    expect([isHawserError(error), isHawserError(error, "HAWSER_E_TIMEOUT"), isHawserError(error, "HAWSER_E_BUSY")]).toEqual([true, true, false]);
    expect(isHawserError(new Error("x"))).toBe(false);
  });
});

describe("errorLine", () => {
  test.each([
    [new Error("a\nb"), "a b"],
    [Object.assign(new Error("connect failed"), { code: "ECONNREFUSED" }), "connect failed (ECONNREFUSED)"],
    [Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" }), "connect ECONNREFUSED"],
    [new AggregateError([new Error("first"), new Error("second")]), "first"],
    [new HawserError("HAWSER_E_BUSY", "full"), "full"],
    ["text", "text"],
  ])("%s", (error, line) => {
    expect(errorLine(error)).toBe(line);
  });

  test("a taken port names the port", () => {
    const error = listenError(Object.assign(new Error("x"), { code: "EADDRINUSE" }), "mqtt.tcpPort", "127.0.0.1:1883");
    expect(error).toMatchObject({ code: "HAWSER_E_PORT_TAKEN", message: "mqtt.tcpPort: 127.0.0.1:1883 is taken by another program" });
  });
});
