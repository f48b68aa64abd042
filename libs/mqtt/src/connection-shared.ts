import type { Aedes } from "aedes";
import type { MqttConnection } from "./connection.ts";
import type { TimerWheel } from "./timer-wheel.ts";
import type { Transport } from "./transport.ts";
import type { ConnectionHandler, ConnectionObserver, MqttSettings } from "./types.ts";

/** What all connections of a process have in common; the acceptor owns it. */
export interface ConnectionShared {
  readonly handler: ConnectionHandler;
  readonly observer: ConnectionObserver;
  readonly settings: MqttSettings;
  readonly wheel: TimerWheel;
  readonly aedes: Aedes;
  /** Those whose socket holds more than slowConsumerBytes; looked at each tick. */
  readonly congested: Set<Transport>;
  readonly nowMs: () => number;
  requestFlush(connection: MqttConnection): void;
  forget(connection: MqttConnection): void;
}
