import { once } from "node:events";
import { createServer } from "node:net";
import { expect, it } from "vitest";
import { freePort, isPortFree } from "../src/free-port.ts";
import { BLOCK_SIZE, claimPorts, MAX_INSTANCES, portPlan, portsInUse } from "../src/port-plan.ts";

const one = { ingress: 1, session: 1, router: 1, csgAgent: 1 };
const most = { ingress: MAX_INSTANCES, session: MAX_INSTANCES, router: MAX_INSTANCES, csgAgent: MAX_INSTANCES };

it("gives every listener of the largest stack a port of its own within the block", () => {
  const plan = portPlan(27_000, most);
  const ports = [...portsInUse(plan, true).map(({ port }) => port), plan.s3, plan.otlp, plan.base + BLOCK_SIZE - 1];
  expect(new Set(ports).size).toBe(ports.length);
  expect(Math.min(...ports)).toBe(27_000);
  expect(Math.max(...ports)).toBeLessThan(27_000 + BLOCK_SIZE);
});

it("keeps the layout that other programs know", () => {
  const plan = portPlan(27_000, { ...one, ingress: 3 });
  expect(plan).toMatchObject({ nats: 27_000, rocketmq: { namesrv: 27_020, broker: 27_030, grpc: 27_040 } });
  expect(plan.ingress[0]).toEqual({ tcp: 27_010, tls: 27_011, ws: 27_012, wss: 27_013, health: 27_070 });
  expect(plan.ingress[1]!.tcp).toBe(27_014);
  expect(plan.ingress[2]!.tcp).toBe(27_108);
  expect(plan.csgAgent[0]!.rest).toBe(27_060);
});

it("never gives two stacks the same block, and gives it back", async () => {
  const claims = await Promise.all(Array.from({ length: 5 }, () => claimPorts(undefined, one, true)));
  const bases = claims.map(({ plan }) => plan.base);
  expect(new Set(bases).size).toBe(bases.length);
  const lock = bases[0]! + BLOCK_SIZE - 1;
  expect(await isPortFree(lock)).toBe(false);
  await Promise.all(claims.map((claim) => claim.release()));
  expect(await isPortFree(lock)).toBe(true);
});

it("says which port is taken, by whatever address", async () => {
  const base = await freePort();
  for (const host of ["127.0.0.1", "0.0.0.0"]) {
    const other = createServer().listen(base + 40, host);
    await once(other, "listening");
    await expect(claimPorts(base, one, true)).rejects.toThrow(`port ${base + 40} (RocketMQ grpc) is taken by another program`);
    await expect(claimPorts(base, one, false)).resolves.toMatchObject({ plan: { base } });
    other.close();
    await once(other, "close");
  }
});

it("refuses what cannot be a block, or a number of processes", async () => {
  await expect(claimPorts(80, one, false)).rejects.toThrow("--base-port 80 is not allowed; allowed: 1024 to 65336");
  await expect(claimPorts(65_400, one, false)).rejects.toThrow("is not allowed");
  await expect(claimPorts(undefined, { ...one, router: 11 }, false)).rejects.toThrow("11 processes of router: 1 to 10 are allowed");
  await expect(claimPorts(undefined, { ...one, ingress: 0 }, false)).rejects.toThrow("0 processes of ingress: 1 to 10 are allowed");
});
