/** The business side of a command: sends it to RocketMQ, waits for its final reply from RocketMQ. */
import { messageGroupOf, newUuidV7, replyProperties, requestProperties, responseRequiredOf, tagOf } from "@hawser/csg-protocol";
import { type ReceivedMessage, RocketMqReceiver, RocketMqSender } from "@hawser/rocketmq";
import { defaultGroups, defaultTopics } from "@hawser/stack";

export interface CommandOutcome {
  readonly id: string;
  /** Wall clock. */
  readonly sentAtMs: number;
  /** Until RocketMQ had stored the command. */
  readonly storedMs: number;
  readonly latencyMs: number;
  /** `OK`, or why not. */
  readonly code: string;
}

interface Waiting {
  readonly sentAtMs: number;
  /** Of performance.now(). */
  readonly begun: number;
  storedMs: number;
  readonly done: (outcome: CommandOutcome) => void;
}

const METHOD = "gateway.ping";
const BODY = Buffer.from(JSON.stringify({ payload: "bench" }));

export class CommandClient {
  readonly #topics = defaultTopics("");
  readonly #sender: RocketMqSender;
  readonly #receiver: RocketMqReceiver;
  readonly #waiting = new Map<string, Waiting>();

  constructor(endpoints: string) {
    this.#sender = new RocketMqSender({ endpoints });
    this.#receiver = new RocketMqReceiver({
      endpoints,
      topic: this.#topics.csgReply,
      consumerGroup: defaultGroups("").appReply,
      loops: 4,
      onMessages: (batch, settle) => {
        batch.forEach((message, index) => {
          this.#take(message);
          settle(index, true);
        });
      },
    });
  }

  get connected(): boolean {
    return this.#receiver.connected;
  }

  /** @param done called with the final reply */
  ping(gateway: string, done: (outcome: CommandOutcome) => void): void {
    const id = newUuidV7();
    const waiting: Waiting = { sentAtMs: Date.now(), begun: performance.now(), storedMs: 0, done };
    this.#waiting.set(id, waiting);
    const properties: [string, string][] = [
      [requestProperties.gateway, gateway],
      [requestProperties.method, METHOD],
      [requestProperties.id, id],
      [requestProperties.responseRequired, responseRequiredOf.final],
      [requestProperties.replyTopic, this.#topics.csgReply],
    ];
    const message = { topic: this.#topics.csgCommand, body: BODY, properties, tag: tagOf(METHOD), keys: [id, gateway], group: messageGroupOf(gateway) };
    this.#sender.send(message, (outcome) => {
      if (outcome.kind === "sent") waiting.storedMs = performance.now() - waiting.begun;
      else this.#finish(id, outcome.kind);
    });
  }

  #take(message: ReceivedMessage): void {
    const { properties } = message;
    if (properties[replyProperties.kind] === "final") this.#finish(properties[replyProperties.id] ?? "", properties[replyProperties.code] ?? "");
  }

  #finish(id: string, code: string): void {
    const waiting = this.#waiting.get(id);
    if (!waiting) return; // a reply may come twice
    this.#waiting.delete(id);
    waiting.done({ id, sentAtMs: waiting.sentAtMs, storedMs: waiting.storedMs, latencyMs: performance.now() - waiting.begun, code });
  }

  async stop(): Promise<void> {
    await this.#receiver.stop();
    this.#sender.close();
  }
}
