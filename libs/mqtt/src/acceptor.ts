import type { MqttConnection } from "./connection.ts";
import type { ConnectionHandler, ConnectionObserver, ConnectionSocket, MqttSettings } from "./types.ts";

export interface AcceptorOptions {
  readonly handler: ConnectionHandler;
  readonly settings?: Partial<MqttSettings>;
  readonly observer?: Partial<ConnectionObserver>;
}

/** API first; bodies follow. One per process: shared timer wheel, per-tick flush, the 3.x dialect's aedes. */
export declare class MqttAcceptor {
  static create(options: AcceptorOptions): Promise<MqttAcceptor>;
  /** A socket of any kind; feed it with connection.receive / drained / socketClosed, or use attachStream. */
  accept(socket: ConnectionSocket): MqttConnection;
  readonly connections: ReadonlySet<MqttConnection>;
  /** Writes out what is pending now instead of at the end of the tick. */
  flush(): void;
  /** Stops timers; connections must have been closed before. */
  stop(): Promise<void>;
}
