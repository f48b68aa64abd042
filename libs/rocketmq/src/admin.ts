/**
 * Topics and consumer groups of one broker, over its remoting port (10911 by default, not the
 * proxy's): RocketMQ's gRPC creates neither. For development, tests and checks; a cluster needs
 * the same on every master.
 *
 * A topic is there when the name server knows it: the broker tells it a moment after it has
 * answered, and a proxy that is asked in that moment remembers for 20 s that there is no such topic.
 * So topic() waits for the name server. Topics are made one after the other, because the broker
 * loses the news of one when several are made at the same time (until it tells everything again,
 * every 30 s); what the name server still does not know after a second is made again.
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
const codes = { updateTopic: 17, topics: 21, brokerConfig: 26, routeOfTopic: 105, updateGroup: 200, updateBrokerConfig: 25, groups: 201, deleteGroup: 207, deleteTopic: 215 } as const;
const READ_AND_WRITE = "6";
const ROUTE_WAIT_MS = 1000;
const ROUTE_ATTEMPTS = 10;
const ROUTE_POLL_MS = 20;

export class RocketMqAdmin {
  readonly #connection: RemotingConnection;
  readonly #credentials: RocketMqCredentials | undefined;
  #namesrv: Promise<RemotingConnection> | undefined;
  #last: Promise<void> = Promise.resolve();

  private constructor(connection: RemotingConnection, credentials: RocketMqCredentials | undefined) {
    this.#connection = connection;
    this.#credentials = credentials;
  }

  /** @param broker `host:port` of the broker's remoting port @throws HawserError HAWSER_E_ROCKETMQ_AWAY */
  static async connect(broker: string, credentials?: RocketMqCredentials): Promise<RocketMqAdmin> {
    return new RocketMqAdmin(await RemotingConnection.open(broker, credentials), credentials);
  }

  /** Creates the topic or changes it. @throws HawserError HAWSER_E_ROCKETMQ_REFUSED, HAWSER_E_ROCKETMQ_AWAY, HAWSER_E_ROCKETMQ_TOPIC */
  topic(name: string, type: TopicType = "NORMAL", queues = 4): Promise<void> {
    const made = this.#last.then(() => this.#makeTopic(name, type, queues));
    this.#last = made.catch(() => {});
    return made;
  }

  async #makeTopic(name: string, type: TopicType, queues: number): Promise<void> {
    for (let attempt = 1; attempt <= ROUTE_ATTEMPTS; attempt++) {
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
      if (await this.#isRouted(name)) return;
    }
    throw new HawserError("HAWSER_E_ROCKETMQ_TOPIC", `topic ${name}: the name server does not know it`);
  }

  async #isRouted(topic: string): Promise<boolean> {
    const namesrv = await (this.#namesrv ??= this.#openNamesrv());
    const deadline = Date.now() + ROUTE_WAIT_MS;
    while ((await namesrv.call(codes.routeOfTopic, { topic })).code !== 0) {
      if (Date.now() > deadline) return false;
      await new Promise((resolve) => setTimeout(resolve, ROUTE_POLL_MS));
    }
    return true;
  }

  /** The broker's own idea of where it is. */
  async #openNamesrv(): Promise<RemotingConnection> {
    const { body } = await this.#call("broker configuration", codes.brokerConfig);
    const address = /^namesrvAddr=([^;\s]+)/m.exec(body.toString())?.[1];
    if (address === undefined) throw new HawserError("HAWSER_E_ROCKETMQ_AWAY", "the broker names no name server");
    return RemotingConnection.open(address.replaceAll("\\", ""), this.#credentials);
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

  /**
   * Makes the broker tell the name server all its topics now. A broker that has just started does so
   * after 10 s, and until then a new topic is not found (the proxy remembers that for 20 s more).
   */
  async announce(): Promise<void> {
    await this.#call("announce", codes.updateBrokerConfig, {}, Buffer.from(`brokerPermission=${READ_AND_WRITE}\n`));
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
    this.#namesrv?.then(
      (namesrv) => namesrv.close(),
      () => {},
    );
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
