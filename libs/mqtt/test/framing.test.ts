import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PacketFramer, type FramingProblem } from "../src/index.ts";
import { writeVariableLength, readVariableLength, variableLengthBytes } from "../src/codec/variable-length.ts";

const LIMITS = { maxPacketBytes: 4096, maxBeforeConnectBytes: 256 };

function packetOf(type: number, body: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head[0] = type << 4;
  return Buffer.concat([head.subarray(0, writeVariableLength(head, 1, body.length)), body]);
}

/** Pushes a stream in the given parts. */
function frame(parts: readonly Buffer[], framer = new PacketFramer(LIMITS)): { packets: string[]; problem: FramingProblem | null; framer: PacketFramer } {
  const packets: string[] = [];
  let problem: FramingProblem | null = null;
  for (const part of parts) {
    problem ??= framer.push(part, (firstByte, bytes, bodyOffset) => {
      expect(bytes[0]).toBe(firstByte);
      expect(bodyOffset).toBe(1 + variableLengthBytes(bytes.length - bodyOffset));
      packets.push(bytes.toString("hex"));
      if (packets.length === 1) framer.connected();
    });
  }
  return { packets, problem, framer };
}

function split(stream: Buffer, cuts: readonly number[]): Buffer[] {
  const at = [...new Set(cuts.map((cut) => cut % (stream.length + 1)))].sort((a, b) => a - b);
  return [0, ...at].map((start, i) => stream.subarray(start, at[i] ?? stream.length));
}

const bodies = fc.array(
  fc.oneof(fc.uint8Array({ maxLength: 20 }), fc.uint8Array({ minLength: 120, maxLength: 140 }), fc.uint8Array({ minLength: 2000, maxLength: 4000 })),
  { maxLength: 6 },
);

describe("the framer", () => {
  it("gives the same packets however the stream is split", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), bodies, fc.array(fc.nat(20_000), { maxLength: 40 }), (first, rest, cuts) => {
        const packets = [packetOf(1, Buffer.from(first)), ...rest.map((body, i) => packetOf((i % 14) + 2, Buffer.from(body)))];
        const got = frame(split(Buffer.concat(packets), cuts));
        expect(got.problem).toBeNull();
        expect(got.packets).toEqual(packets.map((packet) => packet.toString("hex")));
        expect(got.framer.bufferedBytes).toBe(0);
      }),
      { numRuns: 300 },
    );
  });

  it("gives the same packets when each byte comes alone", () => {
    const packets = [packetOf(1, Buffer.alloc(130, 1)), packetOf(3, Buffer.alloc(3000, 2)), packetOf(12, Buffer.alloc(0)), packetOf(3, Buffer.alloc(5, 3))];
    const stream = Buffer.concat(packets);
    expect(frame([...stream].map((byte) => Buffer.from([byte]))).packets).toEqual(packets.map((packet) => packet.toString("hex")));
  });

  it("gives views of the chunk, without copying", () => {
    const chunk = Buffer.concat([packetOf(1, Buffer.alloc(3)), packetOf(3, Buffer.alloc(10))]);
    const framer = new PacketFramer(LIMITS);
    framer.push(chunk, (_first, bytes) => {
      expect(bytes.buffer).toBe(chunk.buffer);
    });
  });

  it("refuses a first packet that is not CONNECT at its first byte", () => {
    const { problem, packets, framer } = frame([Buffer.from([0x30])]);
    expect(problem).toBe("not-connect");
    expect(packets).toEqual([]);
    expect(framer.bufferedBytes).toBe(0);
  });

  it("refuses a declared length above the limit before its body comes, keeping nothing", () => {
    for (const parts of [["10ffffff7f"], ["10", "ff", "ff", "ff", "7f"], ["10fe01"], ["108020"]]) {
      const { problem, framer } = frame(parts.map((part) => Buffer.from(part, "hex")));
      expect(problem).toBe("too-large");
      expect(framer.bufferedBytes).toBe(0);
    }
  });

  it("takes a packet of exactly the limit, fixed header included, before and after CONNECT", () => {
    const connect = packetOf(1, Buffer.alloc(253));
    const publish = packetOf(3, Buffer.alloc(4093));
    expect(frame([Buffer.concat([connect, publish])]).packets.map((packet) => packet.length / 2)).toEqual([256, 4096]);
    expect(frame([packetOf(1, Buffer.alloc(254))]).problem).toBe("too-large");
    expect(frame([Buffer.concat([connect, packetOf(3, Buffer.alloc(4094))])]).problem).toBe("too-large");
  });

  it.each([["10ffffffff"], ["10ffffffff01"], ["1080808080"]])("refuses a remaining length of five bytes (%s), at once and byte by byte", (hex) => {
    expect(frame([Buffer.from(hex, "hex")]).problem).toBe("malformed-length");
    expect(frame([...Buffer.from(hex, "hex")].map((byte) => Buffer.from([byte]))).problem).toBe("malformed-length");
  });

  it("keeps memory in proportion to what arrived, not to what was declared", () => {
    const framer = new PacketFramer({ maxPacketBytes: 268_435_455, maxBeforeConnectBytes: 268_435_455 });
    expect(framer.push(Buffer.from("10ffffff7e00", "hex"), () => {})).toBeNull();
    const before = process.memoryUsage().arrayBuffers;
    for (let i = 0; i < 100; i++) framer.push(Buffer.alloc(100), () => {});
    expect(framer.bufferedBytes).toBe(10_006);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2_000_000);
  });

  it("stays dead after a problem and after kill", () => {
    const { framer, problem } = frame([Buffer.from("30", "hex")]);
    expect(problem).toBe("not-connect");
    expect(frame([packetOf(1, Buffer.alloc(2))], framer).packets).toEqual([]);
    const killed = new PacketFramer(LIMITS);
    const seen: number[] = [];
    const two = Buffer.concat([packetOf(1, Buffer.alloc(0)), packetOf(12, Buffer.alloc(0))]);
    killed.push(two, (first) => {
      seen.push(first);
      killed.kill();
    });
    expect(seen).toEqual([0x10]);
  });

  it("holds what lies behind a stop, and what still comes, until it is resumed", () => {
    fc.assert(
      fc.property(bodies, fc.array(fc.nat(20_000), { maxLength: 20 }), fc.array(fc.nat(5), { minLength: 1, maxLength: 10 }), (rest, cuts, stops) => {
        const packets = [packetOf(1, Buffer.alloc(9)), ...rest.map((body, i) => packetOf((i % 14) + 2, Buffer.from(body)))];
        const framer = new PacketFramer({ maxPacketBytes: 10_000, maxBeforeConnectBytes: 10_000 });
        const got: string[] = [];
        const sink = (_first: number, bytes: Buffer): boolean => {
          got.push(bytes.toString("hex"));
          return stops[got.length % stops.length]! > 2;
        };
        for (const part of split(Buffer.concat(packets), cuts)) {
          expect(framer.push(part, sink)).toBeNull();
          const before = got.length;
          if (framer.isStopped && stops[before % stops.length]! > 0) framer.resume(sink);
        }
        while (framer.isStopped) framer.resume(sink);
        expect(got).toEqual(packets.map((packet) => packet.toString("hex")));
      }),
      { numRuns: 200 },
    );
  });

  it("hands nothing on while it is stopped by its consumer", () => {
    const framer = new PacketFramer(LIMITS);
    const got: number[] = [];
    framer.stop();
    framer.push(packetOf(1, Buffer.alloc(0)), (first) => void got.push(first));
    expect(got).toEqual([]);
    framer.resume((first) => void got.push(first));
    expect(got).toEqual([0x10]);
  });
});

describe("a variable byte integer", () => {
  it("reads back as it was written, in its shortest form", () => {
    fc.assert(
      fc.property(fc.nat(268_435_455), (value) => {
        const bytes = Buffer.alloc(4);
        const end = writeVariableLength(bytes, 0, value);
        expect(end).toBe(variableLengthBytes(value));
        expect(readVariableLength(bytes, 0, end)).toBe(value * 8 + end);
        expect(readVariableLength(bytes, 0, end - 1)).toBe(-1);
      }),
    );
  });

  it.each(["8000", "80808000", "ffffffff7f", "ff"])("is refused when it is %s", (hex) => {
    const bytes = Buffer.from(hex, "hex");
    expect(readVariableLength(bytes, 0, bytes.length)).toBe(-1);
  });
});
