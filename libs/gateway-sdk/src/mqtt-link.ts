/**
 * The gateway's MQTT connection: MQTT.js without its own reconnecting (a fixed period, no back-off)
 * and without its queue for offline times (what must not be lost is in the journal).
 */
import { connect, type IClientOptions, type IClientPublishOptions, type MqttClient } from "mqtt";
import { reconnectPauseMs } from "./reconnect-backoff.ts";

export interface LinkOptions {
  /** mqtt://, mqtts://, ws:// or wss:// */
  readonly url: string;
  readonly clientId: string;
  readonly userName: string;
  readonly password: string;
  /** 4 = MQTT 3.1.1, 5 = MQTT 5. Default 4. */
  readonly protocolVersion?: 4 | 5;
  /** PEM of the CA that signed the server's certificate. */
  readonly ca?: string | Buffer;
  /** Default 30. */
  readonly keepAliveSeconds?: number;
  readonly random?: () => number;
}

export interface LinkEvents {
  readonly onUp: () => void;
  readonly onDown: (reason: string) => void;
  /** @param traceparent of the MQTT 5 user properties, empty when there is none */
  readonly onMessage: (topic: string, payload: Buffer, traceparent: string) => void;
}

const CONNECT_TIMEOUT_MS = 10_000;
const CLOSE_TIMEOUT_MS = 2_000;

export class MqttLink {
  readonly #options: LinkOptions;
  readonly #events: LinkEvents;
  readonly #client: MqttClient;
  #attempt = 0;
  #timer: NodeJS.Timeout | null = null;
  #stopping = false;
  #lastError = "";
  #up = false;

  constructor(options: LinkOptions, events: LinkEvents) {
    this.#options = options;
    this.#events = events;
    const clientOptions: IClientOptions = {
      clientId: options.clientId,
      username: options.userName,
      password: options.password,
      protocolVersion: options.protocolVersion ?? 4,
      keepalive: options.keepAliveSeconds ?? 30,
      clean: true,
      reconnectPeriod: 0,
      connectTimeout: CONNECT_TIMEOUT_MS,
      queueQoSZero: false,
      manualConnect: true,
      ...(options.ca === undefined ? {} : { ca: options.ca }),
    };
    this.#client = connect(options.url, clientOptions);
    this.#client.on("connect", () => {
      // PUBACK, "accepted" and the result are three small writes in a row: Nagle's algorithm would hold the
      // second one until the first is acknowledged, 40 ms later. A WebSocket sets this itself.
      (this.#client.stream as { setNoDelay?: (on: boolean) => void }).setNoDelay?.(true);
      this.#attempt = 0;
      this.#up = true;
      events.onUp();
    });
    this.#client.on("message", (topic, payload, packet) => events.onMessage(topic, payload, traceparentIn(packet.properties?.userProperties)));
    this.#client.on("error", (error) => {
      this.#lastError = error.message || ((error as NodeJS.ErrnoException).code ?? "error");
    });
    this.#client.on("disconnect", (packet) => {
      this.#lastError = `the server closed: reason ${packet.reasonCode ?? 0}`;
    });
    this.#client.on("close", () => this.#closed());
  }

  get connected(): boolean {
    return this.#up;
  }

  start(): void {
    this.#client.connect();
  }

  /** Nothing is kept for later: false = there is no connection. */
  publish(topic: string, payload: Buffer, options: IClientPublishOptions, done: (error: Error | null) => void = ignore): boolean {
    if (!this.#up) return false;
    this.#client.publish(topic, payload, options, (error) => done(error ?? null));
    return true;
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    if (this.#timer) clearTimeout(this.#timer);
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => this.#client.end(true, {}, () => resolve()), CLOSE_TIMEOUT_MS);
      this.#client.end(!this.#up, {}, () => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  #closed(): void {
    const reason = this.#lastError || "connection closed";
    this.#lastError = "";
    this.#up = false;
    if (this.#stopping) return;
    this.#events.onDown(reason);
    if (this.#timer) return;
    const pauseMs = reconnectPauseMs(this.#attempt++, (this.#options.random ?? Math.random)());
    this.#timer = setTimeout(() => {
      this.#timer = null;
      if (!this.#stopping) this.#client.reconnect();
    }, pauseMs);
  }
}

function traceparentIn(properties: Readonly<Record<string, string | string[]>> | undefined): string {
  const value = properties?.["traceparent"];
  return (Array.isArray(value) ? value.at(-1) : value) ?? "";
}

function ignore(): void {
  // the journal and hello make up for what is lost
}
