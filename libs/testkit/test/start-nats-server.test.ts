import { existsSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type NatsServer, startNatsServer } from "../src/index.ts";

describe("startNatsServer", () => {
  let server: NatsServer;
  beforeAll(async () => {
    server = await startNatsServer();
  });
  afterAll(() => server.stop());

  it("has JetStream, and syncs every write", async () => {
    const info = (await (await fetch(`${server.monitorUrl}/jsz`)).json()) as { config: { sync_always?: boolean; store_dir: string } };
    expect(info.config.sync_always).toBe(true);
    expect(info.config.store_dir).toContain(server.dir);
  });

  it("comes back on the same port after a kill", async () => {
    const before = server.pid;
    await server.kill();
    await expect(fetch(`${server.monitorUrl}/varz`)).rejects.toThrow();
    await server.restart();
    expect(server.pid).not.toBe(before);
    const varz = (await (await fetch(`${server.monitorUrl}/varz`)).json()) as { port: number };
    expect(varz.port).toBe(server.port);
  });

  it("leaves nothing behind", async () => {
    const other = await startNatsServer();
    const { pid, dir } = other;
    await other.stop();
    expect(() => process.kill(pid, 0)).toThrow("ESRCH");
    expect(existsSync(dir)).toBe(false);
  });
});
