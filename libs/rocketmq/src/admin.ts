/**
 * Topics and consumer groups of one broker, over its remoting port (10911 by default, not the
 * proxy's): RocketMQ's gRPC creates neither. For development, tests and checks; a cluster needs
 * the same on every master.
 */
import { HawserError } from "@hawser/errors";
import type { RocketMqCredentials } from "./metadata.ts";
import { RemotingConnection, type RemotingResponse } from "./remoting.ts";

/** MIXED only where broker.conf has `enableMixedMessageType=true`. */
export type TopicType = "NORMAL" | "FIFO" | "DELAY" | "TRANSACTION" | "MIXED" | "LITE" | "PRIORITY" | "UNSPECIFIED";

export interface TopicInfo {
  readonly name: string;
  /** UNSPECIFIED when it was made without one. */
  readonly type: TopicType;
  readonly readQueues: number;
  readonly writeQueues: number;
}

export interface GroupInfo {
  readonly name: string;
  readonly fifo: boolean;
  readonly retryMaxTimes: number;
}

export interface GroupOptions {
  /** Messages of a message group one by one; needed to consume a FIFO topic in order. */
  readonly fifo?: boolean;
  /** Deliveries after the first before a message goes to `%DLQ%<group>`; default 16. */
  readonly retryMaxTimes?: number;
}

/** Request codes: org.apache.rocketmq.remoting.protocol.RequestCode. */
const codes = { updateTopic: 17, topics: 21, updateGroup: 200, groups: 201, deleteGroup: 207, deleteTopic: 215 } as const;
const READ_AND_WRITE = "6";

export class RocketMqAdmin {
  readonly #connection: RemotingConnection;

  private constructor(connection: RemotingConnection) {
    this.#connection = connection;
  }

  /** @param broker `host:port` of the broker's remoting port @throws HawserError HAWSER_E_ROCKETMQ_AWAY */
  static async connect(broker: string, credentials?: RocketMqCredentials): Promise<RocketMqAdmin> {
    return new RocketMqAdmin(await RemotingConnection.open(broker, credentials));
  }

  /** Creates the topic or changes it. @throws HawserError HAWSER_E_ROCKETMQ_REFUSED, HAWSER_E_ROCKETMQ_AWAY */
  async topic(name: string, type: TopicType = "NORMAL", queues = 4): Promise<void> {
    await this.#call(`topic ${name}`, codes.updateTopic, {
      topic: name,
      defaultTopic: "TBW102",
      readQueueNums: String(queues),
      writeQueueNums: String(queues),
      perm: READ_AND_WRITE,
      topicFilterType: "SINGLE_TAG",
      topicSysFlag: "0",
      order: "false",
      attributes: `+message.type=${type}`,
    });
  }

  /** Creates the consumer group or changes it. @throws HawserError HAWSER_E_ROCKETMQ_REFUSED, HAWSER_E_ROCKETMQ_AWAY */
  async group(name: string, options: GroupOptions = {}): Promise<void> {
    const group = {
      groupName: name,
      consumeEnable: true,
      consumeFromMinEnable: true,
      consumeBroadcastEnable: true,
      consumeMessageOrderly: options.fifo ?? false,
      retryQueueNums: 1,
      retryMaxTimes: options.retryMaxTimes ?? 16,
      brokerId: 0,
      whichBrokerWhenConsumeSlowly: 1,
      notifyConsumerIdsChangedEnable: true,
      attributes: {},
    };
    await this.#call(`group ${name}`, codes.updateGroup, {}, Buffer.from(JSON.stringify(group)));
  }

  async deleteTopic(name: string): Promise<void> {
    await this.#call(`topic ${name}`, codes.deleteTopic, { topic: name });
  }

  async deleteGroup(name: string): Promise<void> {
    await this.#call(`group ${name}`, codes.deleteGroup, { groupName: name, cleanOffset: "true" });
  }

  /** System topics included. */
  async topics(): Promise<TopicInfo[]> {
    const { body } = await this.#call("topics", codes.topics);
    const { topicConfigTable } = JSON.parse(body.toString()) as { topicConfigTable: Record<string, StoredTopic> };
    return Object.values(topicConfigTable).map((topic) => ({
      name: topic.topicName,
      type: (topic.attributes?.["message.type"] ?? "UNSPECIFIED") as TopicType,
      readQueues: topic.readQueueNums,
      writeQueues: topic.writeQueueNums,
    }));
  }

  async groups(): Promise<GroupInfo[]> {
    const { body } = await this.#call("groups", codes.groups);
    const { subscriptionGroupTable } = JSON.parse(body.toString()) as { subscriptionGroupTable: Record<string, StoredGroup> };
    return Object.values(subscriptionGroupTable).map((group) => ({
      name: group.groupName,
      fifo: group.consumeMessageOrderly,
      retryMaxTimes: group.retryMaxTimes,
    }));
  }

  async #call(what: string, code: number, fields?: Readonly<Record<string, string>>, body?: Buffer): Promise<RemotingResponse> {
    const response = await this.#connection.call(code, fields, body);
    if (response.code !== 0) throw new HawserError("HAWSER_E_ROCKETMQ_REFUSED", `${what}: ${response.remark} (code ${response.code})`);
    return response;
  }

  close(): void {
    this.#connection.close();
  }
}

interface StoredTopic {
  readonly topicName: string;
  readonly readQueueNums: number;
  readonly writeQueueNums: number;
  readonly attributes?: Readonly<Record<string, string>>;
}

interface StoredGroup {
  readonly groupName: string;
  readonly consumeMessageOrderly: boolean;
  readonly retryMaxTimes: number;
}
