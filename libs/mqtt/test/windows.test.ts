import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { InboundWindow, OutboundWindow, OutgoingPublish, TimerWheel } from "../src/index.ts";
import { ackKind, type AckKind } from "../src/inbound-window.ts";

const drainOptions = (withReasonCodes: boolean, onAck: (kind: AckKind, id: number, code: number) => void = () => {}) => ({ withReasonCodes, onAck });

describe("the inbound window", () => {
  it("lets acknowledgements leave in arrival order, whatever the order of completion", () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ id: fc.integer({ min: 1, max: 65_535 }), size: fc.nat(1000), code: fc.constantFrom(0, 0, 0x10, 0x87), rank: fc.nat(), drain: fc.boolean() }), { maxLength: 60 }),
        (messages) => {
          const window = new InboundWindow({ maxMessages: 1000, maxBytes: 1_000_000 });
          const slots = messages.map((message) => window.open(message.id, ackKind.puback, message.size));
          expect(window.count).toBe(messages.length);
          expect(window.sizeBytes).toBe(messages.reduce((sum, message) => sum + message.size, 0));
          const out: Buffer[] = [];
          const acked: number[] = [];
          const drain = (): void => {
            const drained = window.drain(drainOptions(true, (_kind, id) => void acked.push(id)));
            expect(drained.failed).toBe(false);
            if (drained.bytes) out.push(drained.bytes);
          };
          const order = messages.map((_, i) => i).sort((a, b) => messages[a]!.rank - messages[b]!.rank);
          for (const i of order) {
            window.complete(slots[i]!, messages[i]!.code);
            // a second answer changes nothing
            window.complete(slots[i]!, 0x80);
            if (messages[i]!.drain) drain();
          }
          drain();
          const expected = messages.map(({ id, code }) => {
            const hex = id.toString(16).padStart(4, "0");
            return code === 0 ? `4002${hex}` : `4003${hex}${code.toString(16).padStart(2, "0")}`;
          });
          expect(Buffer.concat(out).toString("hex")).toBe(expected.join(""));
          expect(acked).toEqual(messages.map((message) => message.id));
          expect(window.count).toBe(0);
          expect(window.sizeBytes).toBe(0);
        },
      ),
      { numRuns: 200 },
    );
  });

  it("is full at its count or bytes, and may be read again when both are at half", () => {
    const byCount = new InboundWindow({ maxMessages: 4, maxBytes: 1000 });
    const slots = [1, 2, 3].map((id) => byCount.open(id, ackKind.puback, 10));
    expect(byCount.isFull).toBe(false);
    slots.push(byCount.open(4, ackKind.puback, 10));
    expect(byCount.isFull).toBe(true);
    byCount.complete(slots[0]!, 0);
    byCount.drain(drainOptions(false));
    expect([byCount.isFull, byCount.isHalfEmpty]).toEqual([false, false]);
    byCount.complete(slots[1]!, 0);
    byCount.drain(drainOptions(false));
    expect(byCount.isHalfEmpty).toBe(true);
    const byBytes = new InboundWindow({ maxMessages: 100, maxBytes: 1000 });
    byBytes.open(1, ackKind.puback, 1000);
    expect([byBytes.isFull, byBytes.isHalfEmpty]).toEqual([true, false]);
  });

  it("stops before a refusal where the version has no code for it, what came earlier leaves", () => {
    const window = new InboundWindow({ maxMessages: 9, maxBytes: 1000 });
    const [first, second, third] = [1, 2, 3].map((id) => window.open(id, ackKind.puback, 1));
    window.complete(third!, 0);
    window.complete(second!, 0x97);
    window.complete(first!, 0);
    expect(window.drain(drainOptions(false))).toEqual({ bytes: Buffer.from("40020001", "hex"), failed: true });
  });

  it("writes a reason string, and leaves it out when the client could not take it", () => {
    for (const [limit, hex] of [[0, "400a" + "0007" + "87" + "06" + "1f0003" + "6e6f21"], [10, "4003000787"]] as const) {
      const window = new InboundWindow({ maxMessages: 9, maxBytes: 1000 });
      window.complete(window.open(7, ackKind.puback, 1), 0x87, "no!");
      expect(window.drain({ ...drainOptions(true), maximumPacketBytes: limit }).bytes!.toString("hex")).toBe(hex);
    }
  });
});

const publish = new OutgoingPublish({ topic: "t", payload: Buffer.from("x"), properties: null });
const options = (qos: 1 | 2, item: unknown = null, packetId = 0) => ({ qos, retain: false, item, packetId });

describe("the outbound window", () => {
  it("never has an id twice in flight, never more in flight than allowed, and loses nothing", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 6 }), fc.array(fc.record({ kind: fc.constantFrom("send", "ack", "send"), qos: fc.constantFrom(1 as const, 2 as const), pick: fc.nat() }), { maxLength: 80 }), (maxInFlight, steps) => {
        const window = new OutboundWindow({ maxInFlight, maxQueuedMessages: 1000, maxQueuedBytes: 1_000_000 });
        const flying = new Map<number, 1 | 2>();
        const done: number[] = [];
        let sent = 0;
        const pump = (): void => {
          for (let entry = window.take(); entry !== null; entry = window.take()) {
            expect(flying.has(entry.packetId)).toBe(false);
            expect(entry.packetId).toBeGreaterThan(0);
            flying.set(entry.packetId, entry.qos as 1 | 2);
          }
        };
        for (const { kind, qos, pick } of steps) {
          if (kind === "send") {
            window.enqueue(publish, options(qos, sent++), 10);
          } else if (flying.size > 0) {
            const [id, its] = [...flying][pick % flying.size]!;
            if (its === 2) expect(window.pubrec(id, 0)).toBe("release");
            const result = its === 1 ? window.puback(id) : window.pubcomp(id);
            done.push((result as { item: number }).item);
            flying.delete(id);
          }
          pump();
          expect(window.inFlight).toBe(flying.size);
          expect(flying.size).toBeLessThanOrEqual(maxInFlight);
        }
        const left = window.takeUndelivered().map(({ item }) => item as number);
        expect(left).toEqual([...left].sort((a, b) => a - b));
        expect([...done, ...left].sort((a, b) => a - b)).toEqual(Array.from({ length: sent }, (_, i) => i));
      }),
      { numRuns: 200 },
    );
  });

  it("goes round through all 65,535 ids, skipping what is in flight", () => {
    const window = new OutboundWindow({ maxInFlight: 10, maxQueuedMessages: 10, maxQueuedBytes: 1000 });
    window.enqueue(publish, options(1, "kept"), 1);
    expect(window.take()!.packetId).toBe(1);
    let last = 0;
    for (let i = 0; i < 70_000; i++) {
      window.enqueue(publish, options(1), 1);
      last = window.take()!.packetId;
      expect(last).not.toBe(1);
      window.puback(last);
    }
    // 65,534 ids are free: 70,000 = 65,534 + 4,466, from 2 on
    expect(last).toBe(4467);
    expect(window.inFlight).toBe(1);
  });

  it("bounds its queue in messages and bytes, and always takes one", () => {
    const window = new OutboundWindow({ maxInFlight: 1, maxQueuedMessages: 2, maxQueuedBytes: 100 });
    expect(window.enqueue(publish, options(1), 500)).not.toBeNull();
    window.take();
    expect(window.enqueue(publish, options(1), 60)).not.toBeNull();
    expect(window.enqueue(publish, options(1), 60)).toBeNull();
    expect(window.enqueue(publish, options(1), 40)).not.toBeNull();
    expect(window.enqueue(publish, options(1), 0)).toBeNull();
    expect(window.queuedBytes).toBe(100);
  });

  it("tells acknowledgements that fit from those that do not", () => {
    const window = new OutboundWindow({ maxInFlight: 9, maxQueuedMessages: 9, maxQueuedBytes: 100 });
    window.enqueue(publish, options(1, "one"), 1);
    window.enqueue(publish, options(2, "two"), 1);
    const one = window.take()!;
    const two = window.take()!;
    expect(window.puback(99)).toBe("unknown");
    expect(window.puback(two.packetId)).toBe("mismatch");
    expect(window.pubrec(one.packetId, 0)).toBe("mismatch");
    expect(window.pubcomp(two.packetId)).toBe("mismatch");
    expect(window.pubrec(two.packetId, 0)).toBe("release");
    expect(window.pubrec(two.packetId, 0)).toBe("release");
    expect(window.takeUndelivered()).toEqual([
      { item: "one", packetId: 1, state: "sent" },
      { item: "two", packetId: 2, state: "released" },
    ]);
  });

  it("takes a free id for a redelivery whose id is in flight", () => {
    const window = new OutboundWindow({ maxInFlight: 9, maxQueuedMessages: 9, maxQueuedBytes: 100 });
    window.enqueue(publish, options(1, "new"), 1);
    window.enqueue(publish, options(1, "again", 1), 1);
    expect([window.take()!.packetId, window.take()!.packetId]).toEqual([1, 2]);
    expect(window.inFlight).toBe(2);
  });

  it("redelivers under the old id, and a release alone", () => {
    const window = new OutboundWindow({ maxInFlight: 9, maxQueuedMessages: 9, maxQueuedBytes: 100 });
    expect(window.resumeRelease(1, "half")).toBe(true);
    expect(window.resumeRelease(1, "half")).toBe(false);
    window.enqueue(publish, options(1, "again", 700), 1);
    window.enqueue(publish, options(1, "new"), 1);
    expect([window.take()!.packetId, window.take()!.packetId]).toEqual([700, 2]);
    expect(window.pubcomp(1)).toMatchObject({ item: "half" });
  });
});

describe("the timer wheel", () => {
  it("fires in time, never early by the entry's own deadline, also beyond one turn", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 20 }), (delays) => {
        const wheel = new TimerWheel(10, 16);
        const fired: number[] = [];
        delays.forEach((delay, i) => {
          const deadline = wheel.now + delay;
          wheel.schedule({ wheelSlot: -1, onTick: (now) => (now < deadline ? deadline - now : (fired.push(i), expect(now).toBe(deadline), 0)) }, delay);
        });
        for (let tick = 0; tick < 61; tick++) wheel.advance();
        expect(fired.sort((a, b) => a - b)).toEqual(delays.map((_, i) => i));
      }),
    );
  });

  it("forgets a cancelled entry", () => {
    const wheel = new TimerWheel(10, 16);
    let fired = 0;
    const entry = { wheelSlot: -1, onTick: () => (fired++, 0) };
    wheel.schedule(entry, 3);
    wheel.cancel(entry);
    for (let tick = 0; tick < 20; tick++) wheel.advance();
    expect(fired).toBe(0);
  });
});
