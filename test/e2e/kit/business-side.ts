/** The business side of a test: one sender to RocketMQ, one receiver per topic it listens to. */
import { messageGroupOf } from "@hawser/csg-protocol";
import { type ReceivedMessage, RocketMqReceiver, RocketMqSender } from "@hawser/rocketmq";
import type { TestStack } from "@hawser/testkit";
import { commandMessage, type CommandLine, type ReplyLine, replyLine } from "../../../examples/control-plane/src/command-line.ts";
import { until } from "./until.ts";

interface MessageHead {
  readonly tag?: string;
  readonly keys?: readonly string[];
  readonly group?: string;
}

export type Order = Partial<CommandLine> & Pick<CommandLine, "gateway" | "method" | "id">;

export class BusinessSide {
  readonly #stack: TestStack;
  readonly #sender: RocketMqSender;
  readonly #receivers: RocketMqReceiver[] = [];
  readonly replies: ReplyLine[] = [];
  commandsSent = 0;

  constructor(stack: TestStack) {
    this.#stack = stack;
    this.#sender = new RocketMqSender({ endpoints: stack.rocketmq });
  }

  /** Everything that comes to a topic, from now on. */
  listen(topic: string, consumerGroup: string): ReceivedMessage[] {
    const messages: ReceivedMessage[] = [];
    this.#receive(topic, consumerGroup, (message) => messages.push(message));
    return messages;
  }

  listenToReplies(): void {
    const { topics, groups } = this.#stack;
    this.#receive(topics.csgReply, groups.appReply, ({ properties, body }) => this.replies.push(replyLine(new Map(Object.entries(properties)), body, Date.now())));
  }

  #receive(topic: string, consumerGroup: string, onMessage: (message: ReceivedMessage) => void): void {
    const onMessages: ConstructorParameters<typeof RocketMqReceiver>[0]["onMessages"] = (batch, settle) => {
      batch.forEach((message, index) => {
        onMessage(message);
        settle(index, true);
      });
    };
    this.#receivers.push(new RocketMqReceiver({ endpoints: this.#stack.rocketmq, topic, consumerGroup, loops: 2, onMessages }));
  }

  /** Resolves when RocketMQ has it. @throws when RocketMQ refuses it */
  send(topic: string, body: string, properties: Readonly<Record<string, string>> = {}, more: MessageHead = {}): Promise<void> {
    const message = { topic, body: Buffer.from(body), properties: Object.entries(properties), tag: "", keys: [], group: "", ...more };
    return new Promise((resolve, reject) => {
      this.#sender.send(message, (outcome) => (outcome.kind === "sent" ? resolve() : reject(new Error(JSON.stringify(outcome)))));
    });
  }

  /** A command as the control plane sends it. */
  command(order: Order, traceparent = ""): Promise<void> {
    this.commandsSent++;
    const { csgCommand, csgReply } = this.#stack.topics;
    const { topic, body, properties, tag, keys } = commandMessage({ reply: "final", ...order }, csgCommand, csgReply, traceparent);
    return this.send(topic, body.toString(), Object.fromEntries(properties), { tag, keys, group: messageGroupOf(order.gateway) });
  }

  repliesTo(id: string): ReplyLine[] {
    return this.replies.filter((reply) => reply.id === id);
  }

  /** The final reply to a command. */
  async final(id: string, timeoutMs = 30_000): Promise<ReplyLine> {
    const seen = await until(`final reply to ${id}`, () => this.repliesTo(id), (replies) => replies.some(({ kind }) => kind === "final"), timeoutMs);
    return seen.find(({ kind }) => kind === "final")!;
  }

  async stop(): Promise<void> {
    this.#sender.close();
    await Promise.all(this.#receivers.map((each) => each.stop()));
  }
}
