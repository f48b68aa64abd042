/**
 * A presence event as a log record: connect, disconnect (the client said goodbye) or tcpclean (the
 * TCP connection is gone, always the last event of a channel). `order` is (session epoch, counter):
 * within a channel, and within a Client ID, later is larger.
 */
import { ByteReader, ByteWriter, WireFormatError } from "./bytes.ts";
import { FORMAT_VERSION, readFormatVersion } from "./version.ts";

export const presenceTypes = ["connect", "disconnect", "tcpclean"] as const;
export type PresenceType = (typeof presenceTypes)[number];

export interface PresenceEvent {
  readonly type: PresenceType;
  readonly clientId: string;
  readonly channelId: string;
  /** `ip:port` of the client. */
  readonly clientIp: string;
  readonly atMs: number;
  readonly epoch: number;
  readonly counter: number;
}

export function encodePresenceEvent(event: PresenceEvent): Buffer {
  return new ByteWriter(128)
    .u8(FORMAT_VERSION)
    .u8(presenceTypes.indexOf(event.type))
    .shortText(event.clientId)
    .shortText(event.channelId)
    .shortText(event.clientIp)
    .u48(event.atMs)
    .u32(event.epoch)
    .u48(event.counter)
    .finish();
}

/** @throws WireFormatError */
export function decodePresenceEvent(bytes: Uint8Array): PresenceEvent {
  const reader = new ByteReader(bytes);
  readFormatVersion(reader, "presence event");
  const type = presenceTypes[reader.u8()];
  if (!type) throw new WireFormatError("presence event: type is not known");
  return {
    type,
    clientId: reader.shortText(),
    channelId: reader.shortText(),
    clientIp: reader.shortText(),
    atMs: reader.u48(),
    epoch: reader.u32(),
    counter: reader.u48(),
  };
}
