/** TCP and TLS sockets for the MQTT acceptor. */
import { readFileSync } from "node:fs";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { errorLine, HawserError, listenError } from "@hawser/errors";
import { attachStream, type MqttAcceptor } from "@hawser/mqtt";
import type { ConnectionContext } from "./client.ts";

export interface ListenerOptions {
  readonly acceptor: MqttAcceptor;
  readonly host: string;
  readonly port: number;
  /** Null: plain TCP. */
  readonly tls: { readonly certFile: string; readonly keyFile: string } | null;
}

/** A dead peer of an idle connection is noticed by the operating system after this. */
const TCP_KEEP_ALIVE_MS = 60_000;

export class Listener {
  readonly #server: Server;
  readonly #options: ListenerOptions;

  constructor(options: ListenerOptions) {
    this.#options = options;
    const accept = (socket: Socket): void => {
      const context: ConnectionContext = { remoteAddress: `${socket.remoteAddress ?? ""}:${socket.remotePort ?? 0}`, client: null };
      attachStream(options.acceptor, socket).context = context;
    };
    const socketOptions = { noDelay: true, keepAlive: true, keepAliveInitialDelay: TCP_KEEP_ALIVE_MS };
    this.#server = options.tls === null ? createServer(socketOptions, accept) : createTlsServer({ ...socketOptions, ...readTls(options.tls) }, accept);
    // a client that fails its handshake is its own problem
    this.#server.on("tlsClientError", () => undefined);
  }

  /** @throws HawserError HAWSER_E_PORT_TAKEN, HAWSER_E_LISTEN */
  listen(): Promise<number> {
    const { host, port, tls } = this.#options;
    return new Promise((resolve, reject) => {
      this.#server.once("error", (error) => reject(listenError(error, tls === null ? "mqtt.tcpPort" : "mqtt.tlsPort", `${host}:${port}`)));
      this.#server.listen(port, host, () => resolve((this.#server.address() as AddressInfo).port));
    });
  }

  /** Accepts nothing more; open connections stay. */
  close(): void {
    this.#server.close();
  }
}

function readTls(tls: { readonly certFile: string; readonly keyFile: string }): { cert: Buffer; key: Buffer; minVersion: "TLSv1.2" } {
  try {
    return { cert: readFileSync(tls.certFile), key: readFileSync(tls.keyFile), minVersion: "TLSv1.2" };
  } catch (cause) {
    throw new HawserError("HAWSER_E_TLS_FILES", `tls.certFile, tls.keyFile: ${errorLine(cause)}`, { cause });
  }
}
