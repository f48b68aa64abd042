/** Replies and events as RocketMQ messages. */
import { messageGroupOf, replyProperties as names, tagOf } from "@hawser/csg-protocol";
import type { RocketMqMessage } from "@hawser/wire";
import type { CommandView, Reply } from "@hawser/command-engine";

export interface GatewayName {
  readonly gateway: string;
  readonly group: string;
}

/** @param id may be anything when the request's own was not valid: it comes back as it was, if RocketMQ takes it */
export function replyMessage(reply: Reply, { gateway, group }: GatewayName, traceparent: string, now: number): RocketMqMessage {
  const properties: [string, string][] = [
    [names.id, reply.id],
    [names.gateway, gateway],
    [names.group, group],
    [names.method, reply.method],
    [names.status, String(reply.status)],
    [names.code, reply.code],
    [names.reason, reply.reason],
    [names.origin, reply.origin],
    [names.kind, reply.kind],
    [names.sequence, String(reply.n)],
    [names.late, reply.late ? "true" : ""],
    [names.contentType, reply.problem ? "application/problem+json" : "application/json"],
    [names.creationTime, String(now)],
    [names.traceparent, traceparent],
    ...reply.echo.map(([key, value]): [string, string] => [key, value]),
  ];
  return {
    cluster: "default",
    topic: reply.topic,
    tag: tagOf(reply.method),
    keys: [reply.id, gateway].filter(isKey),
    group: messageGroupOf(gateway),
    // RocketMQ drops a property without a value and refuses control characters
    properties: properties.filter(([, value]) => value !== "" && !/\p{Cc}/u.test(value)),
    body: Buffer.from(JSON.stringify(reply.body ?? null)),
  };
}

function isKey(text: string): boolean {
  return /^[\x21-\x7e]{1,128}$/.test(text);
}

/** CloudEvents 1.0, structured JSON. */
export function eventMessage(topic: string, type: string, id: string, subject: string, data: object, now: number): RocketMqMessage {
  const event = {
    specversion: "1.0",
    id,
    source: "urn:hawser:csg",
    type,
    subject,
    time: new Date(now).toISOString(),
    datacontenttype: "application/json",
    data,
  };
  return {
    cluster: "default",
    topic,
    tag: type.split(".")[1] ?? "csg",
    keys: [subject].filter(isKey),
    group: "", // a NORMAL topic: events carry their time, their order is not promised
    properties: [["content_type", "application/cloudevents+json"]],
    body: Buffer.from(JSON.stringify(event)),
  };
}

export function commandEventData(command: CommandView): object {
  const { result: _result, progress: _progress, ...rest } = command;
  return rest;
}
