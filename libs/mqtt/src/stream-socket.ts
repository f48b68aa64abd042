import type { Duplex } from "node:stream";
import type { MqttAcceptor } from "./acceptor.ts";
import type { MqttConnection } from "./connection.ts";

/** API first; body follows: a net.Socket, TLSSocket (or any byte Duplex) becomes a connection, events wired. */
export declare function attachStream(acceptor: MqttAcceptor, stream: Duplex): MqttConnection;
