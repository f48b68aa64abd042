/**
 * The remoting protocol of name server and broker, as far as administration needs it: requests
 * and their answers over one socket.
 *
 *   frame: int32 length | int32 (serialize type << 24 | header length) | JSON header | body
 *
 * With ACL 2.0 a request is signed: header fields AccessKey and Signature =
 * base64(HMAC-SHA1(secret, values of the sorted header fields, then the body)).
 */
import { createHmac } from "node:crypto";
import { connect, type Socket } from "node:net";
import { HawserError } from "@hawser/errors";
import type { RocketMqCredentials } from "./metadata.ts";

export interface RemotingResponse {
  readonly code: number;
  readonly remark: string;
  readonly body: Buffer;
}

interface Waiting {
  readonly timer: NodeJS.Timeout;
  readonly resolve: (response: RemotingResponse) => void;
  readonly reject: (error: Error) => void;
}

const REQUEST_TIMEOUT_MS = 10_000;
const HEADER_LENGTH_MASK = 0xff_ffff;

export class RemotingConnection {
  readonly #socket: Socket;
  readonly #address: string;
  readonly #credentials: RocketMqCredentials | undefined;
  readonly #waiting = new Map<number, Waiting>();
  #received: Buffer = Buffer.alloc(0);
  #opaque = 0;

  private constructor(socket: Socket, address: string, credentials: RocketMqCredentials | undefined) {
    this.#socket = socket;
    this.#address = address;
    this.#credentials = credentials;
    socket.on("data", (bytes) => this.#read(bytes));
    socket.on("error", () => {});
    socket.on("close", () => this.#failAll());
  }

  /** @throws HawserError HAWSER_E_ROCKETMQ_AWAY */
  static open(address: string, credentials?: RocketMqCredentials): Promise<RemotingConnection> {
    const colon = address.lastIndexOf(":");
    return new Promise((resolve, reject) => {
      const socket = connect(Number(address.slice(colon + 1)), address.slice(0, colon));
      socket.setTimeout(REQUEST_TIMEOUT_MS, () => socket.destroy(new Error("no answer to the connection request")));
      socket.once("error", (error) => reject(away(address, error)));
      socket.once("connect", () => {
        socket.removeAllListeners("error").setTimeout(0).setNoDelay(true);
        resolve(new RemotingConnection(socket, address, credentials));
      });
    });
  }

  /** @throws HawserError HAWSER_E_ROCKETMQ_AWAY; any code of the server is an answer */
  call(code: number, fields: Readonly<Record<string, string>> = {}, body: Buffer = Buffer.alloc(0)): Promise<RemotingResponse> {
    const opaque = ++this.#opaque;
    const extFields = this.#credentials ? signed(fields, body, this.#credentials) : fields;
    const header = Buffer.from(
      JSON.stringify({ code, language: "OTHER", version: 0, opaque, flag: 0, serializeTypeCurrentRPC: "JSON", extFields }),
    );
    const head = Buffer.allocUnsafe(8);
    head.writeInt32BE(4 + header.length + body.length, 0);
    head.writeInt32BE(header.length, 4);
    return new Promise((resolve, reject) => {
      if (this.#socket.destroyed) return reject(away(this.#address, new Error("the connection is closed")));
      const timer = setTimeout(() => {
        this.#waiting.delete(opaque);
        reject(away(this.#address, new Error(`no answer within ${REQUEST_TIMEOUT_MS} ms`)));
      }, REQUEST_TIMEOUT_MS);
      this.#waiting.set(opaque, { timer, resolve, reject });
      this.#socket.write(Buffer.concat([head, header, body]));
    });
  }

  #read(bytes: Buffer): void {
    this.#received = this.#received.length === 0 ? bytes : Buffer.concat([this.#received, bytes]);
    while (this.#received.length >= 4) {
      const end = 4 + this.#received.readInt32BE(0);
      if (this.#received.length < end) return;
      const headerEnd = 8 + (this.#received.readInt32BE(4) & HEADER_LENGTH_MASK);
      const header = JSON.parse(this.#received.toString("utf8", 8, headerEnd)) as { code: number; remark?: string; opaque: number };
      const body = this.#received.subarray(headerEnd, end);
      this.#received = this.#received.subarray(end);
      const waiting = this.#waiting.get(header.opaque);
      if (!waiting) continue;
      this.#waiting.delete(header.opaque);
      clearTimeout(waiting.timer);
      waiting.resolve({ code: header.code, remark: header.remark ?? "", body });
    }
  }

  #failAll(): void {
    for (const { timer, reject } of this.#waiting.values()) {
      clearTimeout(timer);
      reject(away(this.#address, new Error("the connection was closed")));
    }
    this.#waiting.clear();
  }

  close(): void {
    this.#socket.destroy();
  }
}

function away(address: string, cause: Error): HawserError {
  return new HawserError("HAWSER_E_ROCKETMQ_AWAY", `RocketMQ at ${address}: ${cause.message || "no connection"}`, { cause });
}

function signed(fields: Readonly<Record<string, string>>, body: Buffer, credentials: RocketMqCredentials): Record<string, string> {
  const all: Record<string, string> = { ...fields, AccessKey: credentials.accessKey };
  const hmac = createHmac("sha1", credentials.secretKey);
  for (const key of Object.keys(all).sort()) hmac.update(all[key]!);
  return { ...all, Signature: hmac.update(body).digest("base64") };
}
