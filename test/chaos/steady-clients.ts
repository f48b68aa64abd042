/** MQTT clients that go on whatever happens, and remember what they were promised. */
import { setTimeout as sleep } from "node:timers/promises";
import type { ProtocolLevel, TestStack } from "@hawser/testkit";
import { Device } from "../e2e/kit/device.ts";
import type { Publish } from "./check-history.ts";

const RETRY_MS = 200;
/** Publishes on their way at a time. */
const WINDOW = 4;

/** Tries one ingress after the other. @returns null when it shall stop */
async function connectSomewhere(stack: TestStack, name: string, first: number, options: { level: ProtocolLevel; clean: boolean }, stopped: () => boolean): Promise<Device | null> {
  for (let attempt = first; !stopped(); attempt++) {
    try {
      return await Device.connect(stack, name, { ...options, ingress: attempt % stack.mqtt.length });
    } catch {
      await sleep(RETRY_MS);
    }
  }
  return null;
}

/** Publishes numbered messages, QoS 1; what is not acknowledged when its connection ends goes out again first, in order. */
export class SteadyPublisher {
  readonly name: string;
  readonly published: (Publish & { acknowledged: boolean })[] = [];
  connections = 0;
  readonly #stack: TestStack;
  readonly #options: { readonly level: ProtocolLevel; readonly everyMs: number; readonly topic: string; readonly ingress: number };
  readonly #done: Promise<void>;
  #stopping = false;

  constructor(stack: TestStack, name: string, options: { readonly level: ProtocolLevel; readonly everyMs: number; readonly topic: string; readonly ingress: number }) {
    this.#stack = stack;
    this.name = name;
    this.#options = options;
    this.#done = this.#run();
  }

  get acknowledged(): number {
    return this.published.filter(({ acknowledged }) => acknowledged).length;
  }

  async #run(): Promise<void> {
    const { level, ingress } = this.#options;
    let device: Device | null = null;
    while (!this.#stopping || this.published.some(({ acknowledged }) => !acknowledged)) {
      device = await connectSomewhere(this.#stack, this.name, ingress + this.connections++, { level, clean: true }, () => false);
      await this.#publish(device!).catch(() => undefined); // the connection has ended: what is open goes out again
    }
    if (device && !device.gone) await device.leave();
  }

  async #publish(device: Device): Promise<void> {
    const { topic, everyMs } = this.#options;
    const open = new Set<Promise<void>>();
    const send = (message: (typeof this.published)[number]): void => {
      const answered = device.publish({ topic, payload: message.id, qos: 1 }).then((answer) => {
        message.acknowledged = (answer!.reasonCode ?? 0) < 0x80;
      });
      answered.catch(() => undefined);
      open.add(answered);
      answered.finally(() => open.delete(answered)).catch(() => undefined);
    };
    for (const message of this.published.filter(({ acknowledged }) => !acknowledged)) send(message);
    while (!this.#stopping && !device.gone) {
      if (open.size < WINDOW) {
        const number = this.published.length + 1;
        const message = { id: `${this.name}-${number}`, publisher: this.name, number, acknowledged: false, toSession: true };
        this.published.push(message);
        send(message);
      }
      await sleep(everyMs);
    }
    await Promise.all(open);
  }

  /** Resolves when everything is acknowledged. */
  stop(): Promise<void> {
    this.#stopping = true;
    return this.#done;
  }
}

/** A persistent session that comes back whenever its connection ends. */
export class SteadySubscriber {
  readonly name: string;
  /** In order, with what came more than once. */
  readonly delivered: string[] = [];
  connections = 0;
  /** Of the ingress it is connected to; -1 while it is not. */
  ingress = -1;
  readonly #stack: TestStack;
  readonly #filter: string;
  readonly #level: ProtocolLevel;
  #device: Device | null = null;
  #done: Promise<void> = Promise.resolve();
  #stopping = false;

  constructor(stack: TestStack, name: string, level: ProtocolLevel, filter: string) {
    this.#stack = stack;
    this.name = name;
    this.#level = level;
    this.#filter = filter;
  }

  /** Resolves when it is subscribed for the first time. */
  async start(): Promise<this> {
    await this.#connect();
    await this.#device!.subscribe({ filter: this.#filter, qos: 1 });
    this.#done = this.#run();
    return this;
  }

  async #connect(): Promise<void> {
    const at = this.connections++;
    const device = await connectSomewhere(this.#stack, this.name, at, { level: this.#level, clean: false }, () => this.#stopping);
    this.#device = device;
    this.ingress = device === null ? -1 : Number(this.#stack.mqtt.findIndex(({ tcp }) => tcp.endsWith(`:${device.raw.socket.remotePort}`)));
    if (device && at > 0 && device.connack.sessionPresent !== true) this.delivered.push("the session is gone");
  }

  async #run(): Promise<void> {
    while (this.#device) {
      const device = this.#device;
      await device.raw.closed;
      this.ingress = -1;
      this.delivered.push(...device.texts());
      if (this.#stopping) return;
      await this.#connect();
    }
  }

  /** Everything until now. */
  all(): string[] {
    return this.#device && !this.#device.gone ? [...this.delivered, ...this.#device.texts()] : this.delivered;
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    if (this.#device && !this.#device.gone) await this.#device.leave();
    await this.#done;
  }
}
