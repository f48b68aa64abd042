/**
 * The clients of this process by number, and the end of each: its subscriptions
 * leave the index at once, its will is published if it did not say goodbye [MQTT-3.1.2-8], and the
 * session owner is told when its appends are resolved, until it has heard it.
 */
import type { ClosedInfo, ConnectPacketInfo, WillInfo } from "@hawser/mqtt";
import type { ShardCaller } from "@hawser/shards";
import { decodeAnswer, encodeFrame, SessionVerb, type ClosedNotice } from "@hawser/wire";
import type { Client } from "./client.ts";
import type { FanOut } from "./fan-out.ts";

const OWNER_TIMEOUT_MS = 5_000;
const OWNER_PATIENCE_MS = 15_000;
const TELL_AGAIN_MS = 1_000;

export class ClientRegistry {
  readonly #sessions: ShardCaller;
  readonly #fanOut: FanOut;
  readonly #publishWill: (client: Client, will: WillInfo) => void;
  readonly #byNumber = new Map<number, Client>();
  readonly #wills = new Map<Client, WillInfo>();
  #stopped = false;

  constructor(sessions: ShardCaller, fanOut: FanOut, publishWill: (client: Client, will: WillInfo) => void) {
    this.#sessions = sessions;
    this.#fanOut = fanOut;
    this.#publishWill = publishWill;
  }

  get size(): number {
    return this.#byNumber.size;
  }

  /** Subscriptions of all clients. */
  get subscriptions(): number {
    let count = 0;
    for (const client of this.#byNumber.values()) count += client.subscriptions.size;
    return count;
  }

  all(): IterableIterator<Client> {
    return this.#byNumber.values();
  }

  numbered(number: number): Client | undefined {
    return this.#byNumber.get(number);
  }

  add(client: Client): void {
    this.#byNumber.set(client.number, client);
  }

  accepted(client: Client, request: ConnectPacketInfo): void {
    if (request.will) this.#wills.set(client, request.will);
  }

  remove(client: Client): void {
    this.#byNumber.delete(client.number);
    this.#wills.delete(client);
  }

  /** The connection has ended. Called once per client. */
  over(client: Client, why: Pick<ClosedInfo, "goodbye" | "will" | "sessionExpirySeconds">): void {
    client.closed = true;
    this.#fanOut.removeAll(client);
    const will = this.#wills.get(client);
    if (will && why.will === "publish") this.#publishWill(client, will);
    client.whenResolved(() => {
      this.remove(client);
      if (client.sequence === "") return;
      const notice: ClosedNotice = {
        instance: client.instance.id,
        clientId: client.clientId,
        sequence: client.sequence,
        channelId: client.channelId,
        clientIp: client.clientIp,
        goodbye: why.goodbye,
        ...(why.sessionExpirySeconds === undefined ? {} : { sessionExpirySeconds: why.sessionExpirySeconds }),
      };
      this.#tellOwner(client.shard, encodeFrame(SessionVerb.closed, notice));
    });
  }

  /** An owner that has not heard it would keep the client online: told twice is told once. */
  #tellOwner(shard: number, frame: Buffer): void {
    this.#sessions.call(shard, frame, { timeoutMs: OWNER_TIMEOUT_MS, patienceMs: OWNER_PATIENCE_MS }, (error, bytes) => {
      const answer = error ? null : decodeAnswer(bytes);
      if (this.#stopped || (answer && (answer.ok || answer.code !== "busy"))) return;
      setTimeout(() => this.#stopped || this.#tellOwner(shard, frame), TELL_AGAIN_MS).unref();
    });
  }

  /** Nothing is told again from here on. */
  stop(): void {
    this.#stopped = true;
  }
}
