/**
 * gRPC to the proxy: bytes out, bytes in, no generated code. One connection per endpoint and
 * object; with several endpoints one is used until it fails, then the next.
 *
 * `grpc.max_reconnect_backoff_ms` is what brings sending back within 2 s of RocketMQ's return (the
 * default of two minutes takes 10 to 120 s); without a subchannel pool of its own a channel with the
 * same address elsewhere in the process would share the back-off. Keep-alive finds connections that
 * died silently.
 */
import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import {
  Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  credentials as grpcCredentials,
  type Metadata,
  type ServiceError,
  status,
} from "@grpc/grpc-js";
import { requestMetadata, type RocketMqCredentials } from "./metadata.ts";

export interface RocketMqEndpoint {
  /** `host:port` of the proxy's gRPC, several separated by `;` or `,`. */
  readonly endpoints: string;
  readonly credentials?: RocketMqCredentials | undefined;
  /** TLS, with these PEM roots or the system's (null). */
  readonly tls?: { readonly ca: Buffer | null } | undefined;
}

/** Why a call has no answer. */
export type RpcError = Pick<ServiceError, "code" | "details" | "message">;
export type RpcDone = (error: RpcError | null, response: Buffer) => void;

const SERVICE = "/apache.rocketmq.v2.MessagingService/";
const OPTIONS = {
  "grpc.max_reconnect_backoff_ms": 1000,
  "grpc.use_local_subchannel_pool": 1,
  "grpc.max_receive_message_length": -1,
  "grpc.max_send_message_length": -1,
  "grpc.keepalive_time_ms": 10_000,
  "grpc.keepalive_timeout_ms": 2000,
};
const EMPTY = Buffer.alloc(0);
const CLOSED: RpcError = { code: status.CANCELLED, details: "the channel is closed", message: "the channel is closed" };
const asIs = (bytes: Buffer): Buffer => bytes;

export class RocketMqChannel {
  /** Unique: the proxy keeps a consumer's settings under it. */
  readonly clientId: string;
  readonly addresses: readonly string[];
  readonly #metadata: Metadata;
  readonly #clients: readonly Client[];
  #current = 0;
  #closed = false;

  constructor(endpoint: RocketMqEndpoint) {
    this.clientId = `${hostname().slice(0, 64)}@${process.pid}@${randomBytes(6).toString("hex")}`;
    this.addresses = endpoint.endpoints.split(/[;,]/).filter((address) => address !== "");
    this.#metadata = requestMetadata(this.clientId, endpoint.credentials, Date.now());
    const channelCredentials = endpoint.tls ? grpcCredentials.createSsl(endpoint.tls.ca) : grpcCredentials.createInsecure();
    this.#clients = this.addresses.map((address) => new Client(address, channelCredentials, OPTIONS));
    if (this.#clients.length === 0) throw new RangeError("no RocketMQ endpoint");
  }

  /** @param done once; never before this returns */
  unary(method: string, request: Buffer, timeoutMs: number, done: RpcDone): void {
    if (this.#closed) return void setImmediate(done, CLOSED, EMPTY);
    const client = this.#clients[this.#current]!;
    client.makeUnaryRequest(SERVICE + method, asIs, asIs, request, this.#metadata, { deadline: Date.now() + timeoutMs }, (error, response) => {
      if (error) this.#failed(client);
      done(error, response ?? EMPTY);
    });
  }

  serverStream(method: string, request: Buffer, timeoutMs: number): ClientReadableStream<Buffer> {
    const client = this.#clients[this.#current]!;
    const stream = client.makeServerStreamRequest(SERVICE + method, asIs, asIs, request, this.#metadata, { deadline: Date.now() + timeoutMs });
    stream.on("error", () => this.#failed(client));
    return stream;
  }

  duplex(method: string): ClientDuplexStream<Buffer, Buffer> {
    const client = this.#clients[this.#current]!;
    const stream = client.makeBidiStreamRequest(SERVICE + method, asIs, asIs, this.#metadata);
    stream.on("error", () => this.#failed(client));
    return stream;
  }

  #failed(client: Client): void {
    if (!this.#closed && this.#clients[this.#current] === client) this.#current = (this.#current + 1) % this.#clients.length;
  }

  close(): void {
    this.#closed = true;
    for (const client of this.#clients) client.close();
  }
}
