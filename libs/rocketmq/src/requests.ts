/** Requests to the proxy other than SendMessage, encoded by hand. */
import { ProtoWriter } from "./proto-writer.ts";

export interface MessageFilter {
  readonly kind: "tag" | "sql";
  /** `*` takes all. */
  readonly expression: string;
}

const SIMPLE_CONSUMER = 3;
const NODE_JS = 8;
const READ = 2;
const DOMAIN_NAME = 3;
const IPV4 = 1;
const filterTypes = { tag: 1, sql: 2 } as const;

function endpoints(writer: ProtoWriter, field: number, addresses: readonly string[]): void {
  const at = writer.open(field);
  writer.number(1, addresses.every((address) => /^[\d.]+:\d+$/.test(address)) ? IPV4 : DOMAIN_NAME);
  for (const address of addresses) {
    const colon = address.lastIndexOf(":");
    const entry = writer.open(2);
    writer.text(1, address.slice(0, colon));
    writer.number(2, Number(address.slice(colon + 1)));
    writer.close(entry);
  }
  writer.close(at);
}

export function encodeRouteRequest(topic: string, addresses: readonly string[]): Buffer {
  const writer = new ProtoWriter(256);
  writer.resource(1, topic);
  endpoints(writer, 2, addresses);
  return writer.take();
}

/** The first word of a telemetry stream: who consumes what. The proxy gives nothing to a client it has no settings of. */
export function encodeConsumerSettings(group: string, topic: string, filter: MessageFilter, addresses: readonly string[]): Buffer {
  const writer = new ProtoWriter(512);
  const settings = writer.open(2);
  writer.number(1, SIMPLE_CONSUMER);
  endpoints(writer, 2, addresses);
  writer.milliseconds(4, 3000);
  const subscription = writer.open(6);
  writer.resource(1, group);
  const entry = writer.open(2);
  writer.resource(1, topic);
  filterExpression(writer, 2, filter);
  writer.close(entry);
  writer.close(subscription);
  const agent = writer.open(7);
  writer.number(1, NODE_JS);
  writer.text(2, "5.0.0");
  writer.text(3, process.platform);
  writer.text(4, "hawser");
  writer.close(agent);
  writer.close(settings);
  return writer.take();
}

function filterExpression(writer: ProtoWriter, field: number, filter: MessageFilter): void {
  const at = writer.open(field);
  writer.number(1, filterTypes[filter.kind]);
  writer.text(2, filter.expression);
  writer.close(at);
}

export interface ReceiveRequest {
  readonly group: string;
  readonly topic: string;
  readonly filter: MessageFilter;
  /** The server gives at most 32. */
  readonly messages: number;
  /** 10,000 or more. */
  readonly invisibleMs: number;
  /** 5000 to 20,000. */
  readonly longPollMs: number;
}

/** Names no queue and no broker: the proxy chooses, one after the other. */
export function encodeReceiveRequest(request: ReceiveRequest): Buffer {
  const writer = new ProtoWriter(512);
  writer.resource(1, request.group);
  const queue = writer.open(2);
  writer.resource(1, request.topic);
  // int32 -1: ten bytes, sign extended
  writer.negativeOne(2);
  writer.number(3, READ);
  writer.close(queue);
  filterExpression(writer, 3, request.filter);
  writer.number(4, request.messages);
  writer.milliseconds(5, request.invisibleMs);
  writer.milliseconds(7, request.longPollMs);
  return writer.take();
}

export interface Receipt {
  readonly messageId: string;
  readonly receiptHandle: string;
}

export function encodeAckRequest(group: string, topic: string, receipts: readonly Receipt[]): Buffer {
  const writer = new ProtoWriter(256 + receipts.length * 128);
  writer.resource(1, group);
  writer.resource(2, topic);
  for (const receipt of receipts) {
    const at = writer.open(3);
    writer.text(1, receipt.messageId);
    writer.text(2, receipt.receiptHandle);
    writer.close(at);
  }
  return writer.take();
}

export function encodeChangeInvisibleRequest(group: string, topic: string, receipt: Receipt, invisibleMs: number): Buffer {
  const writer = new ProtoWriter(512);
  writer.resource(1, group);
  writer.resource(2, topic);
  writer.text(3, receipt.receiptHandle);
  writer.milliseconds(4, invisibleMs);
  writer.text(5, receipt.messageId);
  return writer.take();
}

export function encodeHeartbeat(group: string): Buffer {
  const writer = new ProtoWriter(128);
  writer.resource(1, group);
  writer.number(2, SIMPLE_CONSUMER);
  return writer.take();
}

export function encodeTermination(group: string): Buffer {
  const writer = new ProtoWriter(128);
  writer.resource(1, group);
  return writer.take();
}
