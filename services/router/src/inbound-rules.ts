/**
 * One receiver per inbound rule of the catalogue; rules come, change and go without a restart. Every
 * router runs them all: RocketMQ shares the messages of a consumer group among its members.
 */
import type { InboundRule } from "@hawser/catalog";
import { type ReceiverEvent, RocketMqReceiver, type RocketMqEndpoint } from "@hawser/rocketmq";
import { counter, metricNames } from "@hawser/telemetry";
import { InboundActor } from "./inbound-actor.ts";
import type { InboundContext } from "./inbound-context.ts";
import { InboundMqtt } from "./inbound-mqtt.ts";

export interface InboundRulesOptions extends InboundContext {
  readonly cluster: string;
  readonly endpoint: RocketMqEndpoint;
  readonly loops: number;
  readonly invisibleMs: number;
}

interface RunningRule {
  /** The rule as text: when it differs, the receiver is replaced. */
  readonly text: string;
  readonly receiver: RocketMqReceiver;
}

const STOP_MS = 3000;

export class InboundRules {
  readonly #options: InboundRulesOptions;
  readonly #running = new Map<string, RunningRule>();
  /** Receivers that end, so that stop() can wait for them. */
  readonly #ending = new Set<Promise<void>>();
  #ends: (() => void)[] = [];

  constructor(options: InboundRulesOptions) {
    this.#options = options;
  }

  start(): void {
    const { catalog, bus } = this.#options;
    this.#ends = [
      catalog.onChange(() => this.#reconcile()),
      // what would be received while NATS is away could not be delivered
      bus.onStatus((connected) => {
        for (const { receiver } of this.#running.values()) receiver.pause(!connected);
      }),
    ];
    this.#reconcile();
  }

  /** `<instance>/<rule>` of the rules that run and are not connected. */
  get disconnected(): string[] {
    return [...this.#running].filter(([, { receiver }]) => !receiver.connected).map(([key]) => key);
  }

  #reconcile(): void {
    const wanted = new Map<string, { readonly instance: string; readonly rule: InboundRule }>();
    for (const instance of this.#options.catalog.instances()) {
      for (const rule of instance.inboundRules) {
        if (rule.cluster === this.#options.cluster) wanted.set(`${instance.id}/${rule.id}`, { instance: instance.id, rule });
        else this.#options.log.warn({ instance: instance.id, rule: rule.id, cluster: rule.cluster }, "the rule names a RocketMQ cluster that is not known");
      }
    }
    for (const [key, { text }] of [...this.#running]) {
      const rule = wanted.get(key)?.rule;
      if (rule === undefined || JSON.stringify(rule) !== text) this.#end(key);
    }
    for (const [key, { instance, rule }] of wanted) if (!this.#running.has(key)) this.#begin(key, instance, rule);
  }

  #begin(key: string, instance: string, rule: InboundRule): void {
    const { endpoint, loops, invisibleMs, bus, log } = this.#options;
    const handler = rule.service === null ? new InboundMqtt(this.#options, instance, rule) : new InboundActor(this.#options, instance, rule);
    const acks = { ok: counter(metricNames.rocketmqAcks, { outcome: "ok" }), failed: counter(metricNames.rocketmqAcks, { outcome: "failed" }) };
    const receiver = new RocketMqReceiver({
      ...endpoint,
      topic: rule.topic,
      consumerGroup: rule.consumerGroup,
      loops,
      invisibleMs,
      wholeGroups: handler instanceof InboundActor,
      onMessages: (batch, settle, ordered) => handler.take(batch, settle, ordered),
      onAcked: (messages) => acks.ok.add(messages),
      onEvent: (event: ReceiverEvent) => {
        if (event.kind === "up") log.info({ rule: key, topic: rule.topic }, "receiving again");
        else if (event.kind === "down") log.warn({ rule: key, topic: rule.topic, reason: event.reason }, "nothing can be received");
        else {
          acks.failed.add(event.messages);
          log.warn({ rule: key, messages: event.messages, reason: event.reason }, "acknowledgement refused: the messages come again");
        }
      },
    });
    if (!bus.connected) receiver.pause(true);
    this.#running.set(key, { text: JSON.stringify(rule), receiver });
  }

  #end(key: string): void {
    const running = this.#running.get(key)!;
    this.#running.delete(key);
    const ending = running.receiver.stop(STOP_MS).finally(() => this.#ending.delete(ending));
    this.#ending.add(ending);
  }

  /** What has been received is finished, for at most 3 s. */
  async stop(): Promise<void> {
    for (const end of this.#ends) end();
    for (const key of [...this.#running.keys()]) this.#end(key);
    await Promise.all(this.#ending);
  }
}
