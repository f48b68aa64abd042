import { startNatsServer } from "@hawser/testkit";
import { expect, it } from "vitest";
import { FakeIngress, prepare, SHARDS, startMember } from "./fakes.ts";

it("a session is not ready before every shard it has claimed serves", async () => {
  const server = await startNatsServer();
  await prepare(server.url);
  const ingress = await FakeIngress.start(server.url, "ingress-0");
  const member = await startMember(server.url, "session-0");
  try {
    // looked at in every turn of the event loop: the gap between claimed and opened is short
    while (member.notReady() !== null) await new Promise((resolve) => setImmediate(resolve));
    expect(member.service.owned).toHaveLength(SHARDS);
  } finally {
    await member.stop();
    await ingress.stop();
    await server.stop();
  }
}, 20_000);
