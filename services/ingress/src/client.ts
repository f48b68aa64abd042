/**
 * A client that has been accepted: its connection, who it is, and what is still unresolved. A
 * connection's end is reported to the session owner only when all its appends are resolved, so that
 * the next connection of the same Client ID cannot be overtaken by this one's publishes.
 */
import type { MqttConnection } from "@hawser/mqtt";
import type { CompiledInstance } from "@hawser/catalog";
import type { StoredSubscription } from "@hawser/wire";

export class Client {
  readonly number: number;
  readonly channelId: string;
  readonly connection: MqttConnection;
  /** Replaced when the catalogue changes. */
  instance: CompiledInstance;
  readonly clientId: string;
  /** Device ID, empty in the plain profile. */
  readonly device: string;
  readonly clientIp: string;
  readonly level: number;
  readonly shard: number;
  readonly partition: number;
  /** Given by the session owner at CONNECT: `<epoch>.<counter>`. */
  sequence = "";
  sessionExpirySeconds: number;
  readonly subscriptions = new Map<string, StoredSubscription>();
  closed = false;
  /** Inbox positions on their way to this connection: an owner may send them again after an outage. */
  readonly positionsInFlight = new Set<number>();
  #unresolved = 0;
  #whenResolved: (() => void)[] = [];

  constructor(identity: ClientIdentity) {
    this.number = identity.number;
    this.channelId = identity.channelId;
    this.connection = identity.connection;
    this.instance = identity.instance;
    this.clientId = identity.clientId;
    this.device = identity.device;
    this.clientIp = identity.clientIp;
    this.level = identity.level;
    this.shard = identity.shard;
    this.partition = identity.partition;
    this.sessionExpirySeconds = identity.sessionExpirySeconds;
  }

  get persistent(): boolean {
    return this.sessionExpirySeconds > 0;
  }

  /** Something of this client is on its way and its end is not known yet. */
  begin(): void {
    this.#unresolved++;
  }

  end(): void {
    this.#unresolved--;
    if (this.#unresolved === 0 && this.#whenResolved.length > 0) {
      const waiting = this.#whenResolved;
      this.#whenResolved = [];
      for (const done of waiting) done();
    }
  }

  whenResolved(done: () => void): void {
    if (this.#unresolved === 0) done();
    else this.#whenResolved.push(done);
  }
}

export interface ClientIdentity {
  readonly number: number;
  readonly channelId: string;
  readonly connection: MqttConnection;
  readonly instance: CompiledInstance;
  readonly clientId: string;
  readonly device: string;
  readonly clientIp: string;
  readonly level: number;
  readonly shard: number;
  readonly partition: number;
  readonly sessionExpirySeconds: number;
}

/** What the ingress keeps with a connection; `client` is null until CONNECT has been understood. */
export interface ConnectionContext {
  /** `ip:port` */
  readonly remoteAddress: string;
  client: Client | null;
}
