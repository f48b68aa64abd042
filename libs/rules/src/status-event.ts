/** A presence change as the message of a status rule: the tag and the body the product documents. */
export interface StatusEvent {
  readonly type: "connect" | "disconnect" | "tcpclean";
  readonly clientId: string;
  readonly channelId: string;
  /** `ip:port` */
  readonly clientIp: string;
  readonly atMs: number;
}

export interface StatusMessage {
  readonly tag: string;
  readonly keys: readonly string[];
  readonly body: Buffer;
}

export function statusMessage(event: StatusEvent): StatusMessage {
  const body = { clientId: event.clientId, time: event.atMs, eventType: event.type, channelId: event.channelId, clientIp: event.clientIp };
  return { tag: event.type, keys: [event.channelId], body: Buffer.from(JSON.stringify(body)) };
}
