/**
 * The clients of this process by number, and the end of each: its subscriptions
 * leave the index at once, its will is published if it did not say goodbye [MQTT-3.1.2-8], and the
 * session owner is told when its appends are resolved.
 */
import type { ClosedInfo, ConnectPacketInfo, WillInfo } from "@hawser/mqtt";
import type { ShardCaller } from "@hawser/shards";
import { encodeFrame, SessionVerb, type ClosedNotice } from "@hawser/wire";
import type { Client } from "./client.ts";
import type { FanOut } from "./fan-out.ts";

const OWNER_TIMEOUT_MS = 5_000;
const OWNER_PATIENCE_MS = 15_000;

export class ClientRegistry {
  readonly #sessions: ShardCaller;
  readonly #fanOut: FanOut;
  readonly #publishWill: (client: Client, will: WillInfo) => void;
  readonly #byNumber = new Map<number, Client>();
  readonly #wills = new Map<Client, WillInfo>();

  constructor(sessions: ShardCaller, fanOut: FanOut, publishWill: (client: Client, will: WillInfo) => void) {
    this.#sessions = sessions;
    this.#fanOut = fanOut;
    this.#publishWill = publishWill;
  }

  get size(): number {
    return this.#byNumber.size;
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
      // unanswered: the owner finds out from the next attach list, which lacks this connection
      this.#sessions.call(
        client.shard,
        encodeFrame(SessionVerb.closed, notice),
        { timeoutMs: OWNER_TIMEOUT_MS, patienceMs: OWNER_PATIENCE_MS },
        () => undefined,
      );
    });
  }
}
