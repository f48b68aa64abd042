/**
 * The clients of this process, by connection and by number, and the end of each: its subscriptions
 * leave the index at once, its will is published if it did not say goodbye [MQTT-3.1.2-8], and the
 * session owner is told when its appends are resolved.
 */
import type { ConnectPacketInfo, MqttConnection, WillMessage } from "@hawser/mqtt";
import type { ShardCaller } from "@hawser/shards";
import { encodeFrame, SessionVerb, type ClosedNotice } from "@hawser/wire";
import type { Client } from "./client.ts";
import type { FanOut } from "./fan-out.ts";

const OWNER_TIMEOUT_MS = 5_000;
const OWNER_PATIENCE_MS = 15_000;

export class ClientRegistry {
  readonly #sessions: ShardCaller;
  readonly #fanOut: FanOut;
  readonly #publishWill: (client: Client, will: WillMessage) => void;
  readonly #byConnection = new Map<MqttConnection, Client>();
  readonly #byNumber = new Map<number, Client>();
  readonly #wills = new Map<Client, WillMessage>();

  constructor(sessions: ShardCaller, fanOut: FanOut, publishWill: (client: Client, will: WillMessage) => void) {
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

  of(connection: MqttConnection): Client | undefined {
    return this.#byConnection.get(connection);
  }

  numbered(number: number): Client | undefined {
    return this.#byNumber.get(number);
  }

  add(client: Client): void {
    this.#byConnection.set(client.connection, client);
    this.#byNumber.set(client.number, client);
  }

  accepted(client: Client, request: ConnectPacketInfo): void {
    if (request.will) this.#wills.set(client, request.will);
  }

  remove(client: Client): void {
    this.#byConnection.delete(client.connection);
    this.#byNumber.delete(client.number);
    this.#wills.delete(client);
  }

  /** The connection has ended. Called once per client. */
  over(client: Client, goodbye: boolean, sessionExpirySeconds?: number): void {
    client.closed = true;
    this.#fanOut.removeAll(client);
    const will = this.#wills.get(client);
    if (will && !goodbye) this.#publishWill(client, will);
    client.whenResolved(() => {
      this.remove(client);
      if (client.sequence === "") return;
      const notice: ClosedNotice = {
        instance: client.instance.id,
        clientId: client.clientId,
        sequence: client.sequence,
        goodbye,
        ...(sessionExpirySeconds === undefined ? {} : { sessionExpirySeconds }),
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
