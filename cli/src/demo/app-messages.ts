/** What the demo's business side hears: messages of RocketMQ topics, collected. */
import { RocketMqReceiver, type ReceivedMessage } from "@hawser/rocketmq";

export class TopicReader {
  readonly messages: ReceivedMessage[] = [];
  readonly #receiver: RocketMqReceiver;

  constructor(endpoints: string, topic: string, consumerGroup: string) {
    this.#receiver = new RocketMqReceiver({
      endpoints,
      topic,
      consumerGroup,
      loops: 1,
      onMessages: (batch, settle) => {
        batch.forEach((message, index) => {
          this.messages.push(message);
          settle(index, true);
        });
      },
    });
  }

  stop(): Promise<void> {
    return this.#receiver.stop();
  }
}
