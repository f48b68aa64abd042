import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, createServer } from "node:tls";
import { once } from "node:events";
import { afterAll, expect, it } from "vitest";
import { writeTlsFiles } from "../src/tls-files.ts";

const dir = mkdtempSync(join(tmpdir(), "hawser-tls-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

it("makes a certificate that a client with the CA accepts for localhost and 127.0.0.1, and nobody else does", async () => {
  const files = await writeTlsFiles(join(dir, "tls"));
  const server = createServer({ cert: readFileSync(files.cert), key: readFileSync(files.key) }, (socket) => socket.end("hello"));
  server.on("tlsClientError", () => undefined);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const ca = readFileSync(files.ca);
  for (const identity of [{ servername: "localhost" }, { host: "127.0.0.1" }]) {
    const socket = connect({ port, host: "127.0.0.1", ca, ...identity });
    const [hello] = (await once(socket, "data")) as [Buffer];
    expect(hello.toString()).toBe("hello");
    expect(socket.authorized).toBe(true);
    socket.destroy();
  }
  const stranger = connect({ port, host: "127.0.0.1" });
  const [error] = (await once(stranger, "error")) as [Error];
  expect(error.message).toMatch(/self-signed|unable to verify/);
  const otherName = connect({ port, host: "127.0.0.1", ca, servername: "elsewhere.example" });
  const [wrongName] = (await once(otherName, "error")) as [Error];
  expect(wrongName.message).toMatch(/altnames/);
  server.close();
});
