import { Bus } from "@hawser/bus";
import { cursorKey, consumersOf, encodeCursor, ensureLog } from "../src/index.ts";
import { startNatsServer } from "@hawser/testkit";
import { buckets } from "@hawser/wire";
import { expect, it } from "vitest";

it("a consumer that has a cursor counts for trimming, also when this router does not run it", async () => {
  const server = await startNatsServer();
  const bus = await Bus.connect({ url: server.url, name: "trim" });
  try {
    await ensureLog(bus, { partitions: 2, maxBytes: 1_048_576 });
    const kv = bus.kv(buckets.cursors);
    for (const [consumer, partition] of [["inbox", 0], ["rocketmq.default", 0], ["inbox", 1]] as const) {
      await kv.create(cursorKey(consumer, partition), encodeCursor({ version: 1, epoch: 1, sequence: 5, doneNext: {} }));
    }
    expect((await consumersOf(bus, 0)).sort()).toEqual(["inbox", "rocketmq.default"]);
    expect(await consumersOf(bus, 1)).toEqual(["inbox"]);
  } finally {
    await bus.close();
    await server.stop();
  }
});
