import { describe, expect, test } from "vitest";
import { createLogger } from "../src/index.ts";

function logged(level: string, write: (logger: ReturnType<typeof createLogger>) => void): Record<string, unknown>[] {
  const lines: string[] = [];
  write(createLogger("ingress", "ingress-0_x", level, { write: (line: string) => void lines.push(line) }));
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}

describe("a log line", () => {
  test("is JSON with time, level, service, member and the fields of the call", () => {
    const [line] = logged("info", (logger) => logger.warn({ reason: "too-long", clientId: "GID@@@1" }, "publish refused"));
    expect(line).toMatchObject({ level: "warn", service: "ingress", member: "ingress-0_x", reason: "too-long", clientId: "GID@@@1", msg: "publish refused" });
    expect(Date.parse(String(line!["time"]))).toBeGreaterThan(0);
  });

  test("below the level is not written", () => {
    expect(logged("warn", (logger) => logger.info("x"))).toEqual([]);
  });

  test.each(["password", "accessKeySecret", "secretKey", "token", "restToken", "authorization"])("never shows a %s", (key) => {
    const lines = logged("info", (logger) => logger.info({ [key]: "hush", inner: { [key]: "hush" } }, "x"));
    expect(JSON.stringify(lines)).not.toContain("hush");
    expect(lines[0]).toMatchObject({ [key]: "***", inner: { [key]: "***" } });
  });
});
