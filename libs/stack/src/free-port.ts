/**
 * Ports of loopback for servers that are about to start. Chosen at random below the range the
 * kernel uses for outgoing connections, so that nobody takes one by accident between the test here
 * and the listen there: blocks of a stack from 20000, single ones below.
 */
import { randomInt } from "node:crypto";
import { createServer, type Server } from "node:net";
import { HawserError } from "@hawser/errors";

const FIRST_SINGLE = 10_000;
const FIRST_BLOCK = 20_000;
const END = 32_000;

export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const port = randomInt(FIRST_SINGLE, FIRST_BLOCK);
    if (await isPortFree(port)) return port;
  }
  throw new HawserError("HAWSER_E_PORT_TAKEN", `no free port between ${FIRST_SINGLE} and ${FIRST_BLOCK}`);
}

export async function isPortFree(port: number): Promise<boolean> {
  const server = await tryListen(port);
  if (!server) return false;
  await closed(server);
  return true;
}

/** @returns the listening server, or null when the port is taken */
export function tryListen(port: number): Promise<Server | null> {
  return new Promise((resolve) => {
    const server = createServer((socket) => socket.destroy());
    server.once("error", () => resolve(null));
    // all addresses: a listener on 0.0.0.0 or on 127.0.0.1 both count
    server.listen({ port, host: "0.0.0.0", exclusive: true }, () => resolve(server));
  });
}

export function closed(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}

export const blockRange = { first: FIRST_BLOCK, end: END } as const;
