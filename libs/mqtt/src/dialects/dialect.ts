/** A dialect: how the control packets of one protocol version become calls, and answers become packets. */
import type { ConnectOutline } from "../codec/connect.ts";
import type { PacketProblem } from "../codec/packet-problem.ts";
import type { AuthInfo, CloseReason, ConnectAccept, ConnectPacketInfo, ConnectRefusal, ProtocolLevel } from "../types.ts";

/** What a dialect may ask of its connection. */
export interface DialectHost {
  /** A CONNECT is read and may be answered with `accept` or `refuse`. */
  connectRequested(info: ConnectPacketInfo): void;
  /** CONNACK with success: the connection is open. */
  accepted(connack: Buffer): void;
  /** CONNACK with an error, null when none can be sent: write it and close. */
  refused(connack: Buffer | null, why: Pick<ConnectRefusal, "reason" | "reasonCode">): void;
  send(bytes: Buffer): void;
  failed(problem: PacketProblem): void;
}

export interface Dialect {
  readonly level: ProtocolLevel;
  connect(bytes: Buffer, outline: ConnectOutline): void;
  accept(accept: ConnectAccept, receiveMaximum: number): void;
  refuse(refusal: ConnectRefusal): void;
  suback(packetId: number, codes: readonly number[], reasonString: string | undefined): void;
  unsuback(packetId: number, codes: readonly number[], reasonString: string | undefined): void;
  auth(info: AuthInfo): void;
  /** DISCONNECT of the server, null where there is none. */
  disconnect(reason: CloseReason): Buffer | null;
  /** The connection is closed. */
  dispose(): void;
}
