import type { AuthInfo, CloseReason, ConnectAccept, ConnectPacketInfo, ConnectRefusal, DeliverOptions, DeliverResult, InboundSlot, OutgoingPublish, ProtocolLevel } from "./types.ts";

/** API first; bodies follow. */
export declare class MqttConnection {
  /** Unique in this process, from 1. */
  readonly id: number;
  /** Whatever the user keeps with the connection. */
  context: unknown;
  /** 0 before CONNECT. */
  readonly level: ProtocolLevel | 0;
  readonly request: ConnectPacketInfo | null;
  readonly isClosed: boolean;
  /** The keep alive that is enforced. */
  readonly keepAliveSeconds: number;
  /** PUBLISHes in flight to the client and waiting behind the window. */
  readonly inFlight: number;
  readonly queued: number;

  // from the socket
  receive(chunk: Buffer): void;
  drained(): void;
  socketClosed(reason: string): void;

  // from the user; every call on a closed connection does nothing
  acceptConnect(accept: ConnectAccept): void;
  refuseConnect(refusal: ConnectRefusal): void;
  /** @param reasonCode 0 or 0x10: acknowledged; >= 0x80: MQTT 5 says so, 3.x closes when its turn comes */
  completePublish(slot: InboundSlot, reasonCode?: number, reasonString?: string): void;
  /** @param codes one per subscription: 0..2 granted, >= 0x80 refused (3.x: told as 0x80) */
  answerSubscribe(packetId: number, codes: readonly number[], reasonString?: string): void;
  /** @param codes one per filter: 0, 0x11 or >= 0x80; 3.x tells none of them */
  answerUnsubscribe(packetId: number, codes: readonly number[], reasonString?: string): void;
  /** AUTH of MQTT 5: 0x18 continue, 0x00 success of a re-authentication. */
  sendAuth(info: AuthInfo): void;
  deliver(publish: OutgoingPublish, options: DeliverOptions): DeliverResult;
  /** Redelivers PUBREL of a QoS 2 message that the client has received under this id [MQTT-4.4.0-1]. */
  deliverRelease(packetId: number, item: unknown): DeliverResult;
  /** Back-pressure of the user: nothing is read until resumeReading. Exempt from keep alive. */
  pauseReading(): void;
  resumeReading(): void;
  close(reason: CloseReason): void;
}
