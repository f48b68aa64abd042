import { readFileSync } from "node:fs";
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { mqttPackets, type ParsedPacket, type ProtocolLevel } from "./mqtt-packets.ts";

export interface RawClientOptions {
  /** In which packets of the server are read; default 4 (3.1.1). */
  readonly level?: ProtocolLevel;
  readonly host?: string;
  /** Path of the CA: connect over TLS. */
  readonly ca?: string;
}

export interface RawClient {
  readonly socket: Socket;
  send(...bytes: readonly Uint8Array[]): void;
  /** The next packet of the server, in order. @throws when none comes in time, or the connection is closed and none is left */
  next(timeoutMs?: number): Promise<ParsedPacket>;
  /** Packets that have come and not been asked for. */
  readonly waiting: readonly ParsedPacket[];
  /** Settles when the connection is closed by whichever side; never rejects. */
  readonly closed: Promise<void>;
  /** Cuts the connection without a DISCONNECT. */
  destroy(): void;
}

/** A socket that sends bytes and reads packets, and does nothing by itself. */
export async function rawClient(port: number, options: RawClientOptions = {}): Promise<RawClient> {
  const { level = 4, host = "127.0.0.1", ca } = options;
  const socket: Socket = ca === undefined ? connectTcp(port, host) : connectTls({ port, host, ca: readFileSync(ca) });
  await new Promise<void>((resolve, reject) => {
    socket.once("error", reject);
    socket.once(ca === undefined ? "connect" : "secureConnect", () => {
      socket.off("error", reject);
      resolve();
    });
  });
  socket.setNoDelay(true);
  const packets = mqttPackets(level);
  const waiting: ParsedPacket[] = [];
  let wanted: { resolve: (packet: ParsedPacket) => void; reject: (error: Error) => void } | undefined;
  let buffered = Buffer.alloc(0);
  let ended: Error | undefined;

  const fail = (error: Error): void => {
    ended ??= error;
    wanted?.reject(ended);
    wanted = undefined;
  };
  socket.on("data", (data: Buffer) => {
    buffered = Buffer.concat([buffered, data]);
    try {
      for (let parsed = packets.parse(buffered); parsed; parsed = packets.parse(buffered)) {
        buffered = buffered.subarray(parsed.length);
        if (wanted) wanted.resolve(parsed.packet);
        else waiting.push(parsed.packet);
        wanted = undefined;
      }
    } catch (error) {
      fail(error as Error);
      socket.destroy();
    }
  });
  socket.on("error", () => undefined); // "close" follows
  const closed = new Promise<void>((resolve) => {
    socket.once("close", () => {
      fail(new Error("the connection is closed"));
      resolve();
    });
  });

  return {
    socket,
    waiting,
    closed,
    send: (...bytes) => void socket.write(Buffer.concat(bytes)),
    next: (timeoutMs = 5000) => {
      const first = waiting.shift();
      if (first) return Promise.resolve(first);
      if (ended) return Promise.reject(ended);
      if (wanted) return Promise.reject(new Error("one next() at a time"));
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          wanted = undefined;
          reject(new Error(`no packet within ${timeoutMs} ms`));
        }, timeoutMs);
        wanted = {
          resolve: (parsed) => {
            clearTimeout(timer);
            resolve(parsed);
          },
          reject: (error) => {
            clearTimeout(timer);
            reject(error);
          },
        };
      });
    },
    destroy: () => void socket.destroy(),
  };
}
