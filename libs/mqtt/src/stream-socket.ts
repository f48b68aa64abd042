/** A byte stream of Node (net.Socket, TLSSocket, any Duplex) as the socket of a connection. */
import type { Duplex } from "node:stream";
import type { MqttAcceptor } from "./acceptor.ts";
import type { MqttConnection } from "./connection.ts";
import type { ConnectionSocket } from "./types.ts";

class StreamSocket implements ConnectionSocket {
  readonly #stream: Duplex;

  constructor(stream: Duplex) {
    this.#stream = stream;
  }

  write(bytes: Buffer): void {
    if (this.#stream.writable) this.#stream.write(bytes);
  }
  end(): void {
    this.#stream.end();
  }
  destroy(): void {
    this.#stream.destroy();
  }
  pause(): void {
    this.#stream.pause();
  }
  resume(): void {
    this.#stream.resume();
  }
  get writableLength(): number {
    return this.#stream.writableLength;
  }
  cork(): void {
    this.#stream.cork();
  }
  uncork(): void {
    this.#stream.uncork();
  }
}

/** Makes the connection and wires its events. The caller sets TCP options (setNoDelay, setKeepAlive). */
export function attachStream(acceptor: MqttAcceptor, stream: Duplex): MqttConnection {
  const connection = acceptor.accept(new StreamSocket(stream));
  stream.on("data", (chunk: Buffer) => connection.receive(chunk));
  stream.on("drain", () => connection.drained());
  stream.on("end", () => {
    connection.socketClosed("socket closed");
    stream.end();
  });
  stream.on("error", () => connection.socketClosed("socket error"));
  stream.on("close", () => connection.socketClosed("socket closed"));
  return connection;
}
