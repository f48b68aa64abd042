/**
 * One connection of the load: PUBLISH packets of QoS 1 made once, one per packet id, lying one
 * behind the other, so that a run of ids is one write. A packet id is used again when its PUBACK has
 * come; PUBACKs come in the order of the PUBLISHes [MQTT-4.6.0-2].
 */
import { connect, type Socket } from "node:net";
import { mqttPackets } from "@hawser/testkit";
import type { LatencyCounts } from "./latency-counts.ts";

export interface LoadConnectionOptions {
  readonly host: string;
  readonly port: number;
  readonly clientId: string;
  readonly userName: string;
  readonly password: string;
  readonly topic: string;
  readonly payloadBytes: number;
  /** PUBLISHes without a PUBACK, 1 to 1,000. */
  readonly window: number;
  readonly latencies: LatencyCounts;
  /** Publish again as soon as a PUBACK comes. */
  readonly greedy: boolean;
  readonly onFailure: (reason: string) => void;
}

const packetsOf311 = mqttPackets(4);
const PUBACK = 0x40;
const PUBACK_BYTES = 4;

export class LoadConnection {
  readonly #options: LoadConnectionOptions;
  readonly #packets: Buffer;
  readonly #packetBytes: number;
  readonly #sentAtMs: Float64Array;
  #socket!: Socket;
  #rest: Buffer = Buffer.alloc(0);
  /** Packet ids 1 ... window in turn. */
  #next = 0;
  #open = 0;
  #ending = false;
  acked = 0;

  constructor(options: LoadConnectionOptions) {
    this.#options = options;
    const { topic, window, payloadBytes } = options;
    const payload = Buffer.alloc(payloadBytes, "hawser ");
    const packets = Array.from({ length: window }, (_, index) => packetsOf311.publish({ topic, payload, qos: 1, packetId: index + 1 }));
    this.#packetBytes = packets[0]!.length;
    this.#packets = Buffer.concat(packets);
    this.#sentAtMs = new Float64Array(window);
  }

  /** Resolves at CONNACK. */
  open(): Promise<void> {
    const { host, port, clientId, userName, password, onFailure } = this.#options;
    return new Promise((resolve, reject) => {
      const socket = connect({ host, port, noDelay: true }, () => socket.write(packetsOf311.connect({ clientId, username: userName, password, keepAliveSeconds: 300 })));
      this.#socket = socket;
      socket.once("error", reject);
      socket.once("data", (connack: Buffer) => {
        if (connack[0] !== 0x20 || connack[3] !== 0) return reject(new Error(`CONNACK ${connack.toString("hex")}`));
        socket.on("data", (chunk: Buffer) => this.#receive(chunk));
        resolve();
      });
      socket.once("close", () => {
        if (!this.#ending) onFailure(`${clientId}: connection closed`);
      });
    });
  }

  get room(): number {
    return this.#options.window - this.#open;
  }

  /** @param count at most `room` */
  publish(count: number): void {
    const { window } = this.#options;
    const now = performance.now();
    let left = count;
    while (left > 0) {
      const run = Math.min(left, window - this.#next);
      this.#sentAtMs.fill(now, this.#next, this.#next + run);
      this.#socket.write(this.#packets.subarray(this.#next * this.#packetBytes, (this.#next + run) * this.#packetBytes));
      this.#next = (this.#next + run) % window;
      left -= run;
    }
    this.#open += count;
  }

  #receive(chunk: Buffer): void {
    const bytes = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk;
    const whole = bytes.length - (bytes.length % PUBACK_BYTES);
    this.#rest = bytes.subarray(whole);
    const now = performance.now();
    for (let at = 0; at < whole; at += PUBACK_BYTES) {
      if (bytes[at] !== PUBACK) return this.#options.onFailure(`no PUBACK but ${bytes.toString("hex", at, at + 4)}`);
      this.#options.latencies.record(now - this.#sentAtMs[bytes.readUInt16BE(at + 2) - 1]!);
    }
    const acks = whole / PUBACK_BYTES;
    this.acked += acks;
    this.#open -= acks;
    if (this.#options.greedy && !this.#ending) this.publish(acks);
  }

  /** Publishes nothing more. */
  quiet(): void {
    this.#ending = true;
  }

  /** PUBLISHes without a PUBACK. */
  get unacked(): number {
    return this.#open;
  }

  close(): void {
    this.#ending = true;
    this.#socket.end(packetsOf311.disconnect());
  }
}
