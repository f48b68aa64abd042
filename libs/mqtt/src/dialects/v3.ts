/**
 * MQTT 3.1 and 3.1.1 by aedes behind a facade stream. Our own checks and framing come first; aedes
 * parses the CONNECT and writes CONNACK, SUBACK and UNSUBACK; its bytes are captured and sent by the
 * connection. PINGREQ, DISCONNECT and everything with a message never get here.
 *
 * SUBSCRIBE is answered by the user before aedes sees it: aedes is given what was granted under
 * names of our own ("g0", "r1"), because with the client's filters it drops repeated ones from
 * SUBACK, reports the requested instead of the granted QoS, and closes on a filter it finds wrong.
 */
import type { Aedes, AuthenticateError, ConnectPacket } from "aedes";
import { Duplex } from "node:stream";
import { connectFlag, type ConnectOutline } from "../codec/connect.ts";
import { variableLengthBytes, writeVariableLength } from "../codec/variable-length.ts";
import { reasonCodes, returnCodes, SUBSCRIBE_FAILURE } from "../reason-codes.ts";
import type { ConnectAccept, ConnectPacketInfo, ConnectRefusal } from "../types.ts";
import { GRANTED, REFUSED, type AedesFacade } from "./aedes-broker.ts";
import type { Dialect, DialectHost } from "./dialect.ts";

const SESSION_NEVER_EXPIRES = 0xffff_ffff;
let lastFacade = 0;

/** CONNACK of 3.x, for what aedes must not see. */
export function encodeReturnCode(returnCode: number): Buffer {
  return Buffer.from([0x20, 2, 0, returnCode]);
}

function isReturnCode(code: number): boolean {
  return Number.isInteger(code) && code >= returnCodes.unacceptableProtocolVersion && code <= returnCodes.notAuthorized;
}

export class Mqtt3Dialect extends Duplex implements Dialect, AedesFacade {
  readonly level: 3 | 4;
  readonly aedesId: string;
  sessionPresent = false;
  readonly #host: DialectHost;
  readonly #broker: Aedes;
  #info: ConnectPacketInfo | null = null;
  #answer: ((error: AuthenticateError | null, ok: boolean | null) => void) | null = null;
  #connack: Buffer | null = null;
  #refusal: ConnectRefusal | null = null;
  #state: "new" | "accepting" | "refusing" | "open" | "disposed" = "new";

  constructor(host: DialectHost, broker: Aedes, level: 3 | 4) {
    super();
    this.level = level;
    this.#host = host;
    this.#broker = broker;
    this.aedesId = `c${++lastFacade}`;
  }

  connect(bytes: Buffer, outline: ConnectOutline): void {
    // [MQTT-3.1.3-8]; 3.1 has no empty Client ID at all
    if (!outline.hasClientId && (this.level === 3 || (outline.flags & connectFlag.cleanStart) === 0)) {
      this.#host.refused(encodeReturnCode(returnCodes.identifierRejected), { reason: "empty Client ID", reasonCode: reasonCodes.clientIdentifierNotValid });
      return;
    }
    this.#broker.handle(this);
    this.push(this.level === 3 ? tolerant(bytes, outline) : bytes);
  }

  // ---- hooks of aedes

  connectParsed(packet: ConnectPacket): void {
    const { will } = packet;
    const clean = packet.clean ?? true;
    this.#info = {
      level: this.level,
      clientId: packet.clientId,
      cleanStart: clean,
      keepAliveSeconds: packet.keepalive ?? 0,
      userName: packet.username ?? null,
      password: packet.password == null ? null : Buffer.from(packet.password),
      will:
        will == null
          ? null
          : { topic: will.topic, payload: Buffer.from(will.payload as Buffer), qos: will.qos ?? 0, retain: will.retain ?? false, properties: null, delaySeconds: 0 },
      sessionExpirySeconds: clean ? 0 : SESSION_NEVER_EXPIRES,
      receiveMaximum: 0xffff,
      maximumPacketBytes: 0,
      topicAliasMaximum: 0,
      requestResponseInformation: false,
      requestProblemInformation: false,
      userProperties: [],
      authMethod: null,
      authData: null,
    };
  }

  authenticate(answer: (error: AuthenticateError | null, ok: boolean | null) => void): void {
    if (this.#state === "disposed") return;
    this.#answer = answer;
    this.#host.connectRequested(this.#info!);
  }

  ready(): void {
    if (this.#state !== "accepting" || this.#connack === null) return;
    this.#state = "open";
    this.#host.accepted(this.#connack);
    this.#connack = null;
  }

  // ---- answers of the user

  accept(accept: ConnectAccept): void {
    this.#state = "accepting";
    // 3.1 has no such bit
    this.sessionPresent = accept.sessionPresent && this.level === 4;
    this.#answer?.(null, true);
  }

  refuse(refusal: ConnectRefusal): void {
    this.#state = "refusing";
    this.#refusal = refusal;
    const error = new Error(refusal.reason) as AuthenticateError;
    error.returnCode = isReturnCode(refusal.returnCode) ? refusal.returnCode : returnCodes.serverUnavailable;
    if (error.returnCode < 2) this.#host.refused(encodeReturnCode(error.returnCode), refusal);
    else this.#answer?.(error, null);
  }

  suback(packetId: number, codes: readonly number[]): void {
    let remaining = 2;
    const names = codes.map((code, index) => `${code <= 2 ? GRANTED : REFUSED}${index}`);
    for (const name of names) remaining += 2 + name.length + 1;
    const bytes = Buffer.alloc(1 + variableLengthBytes(remaining) + remaining, 0x82);
    let at = writeVariableLength(bytes, 1, remaining);
    at = bytes.writeUInt16BE(packetId, at);
    for (let i = 0; i < names.length; i++) {
      const name = names[i]!;
      at = bytes.writeUInt16BE(name.length, at);
      at += bytes.write(name, at, "latin1");
      const code = codes[i]!;
      bytes[at++] = code < SUBSCRIBE_FAILURE ? code : 0;
    }
    this.push(bytes);
  }

  unsuback(packetId: number): void {
    this.push(Buffer.from([0xa2, 5, packetId >>> 8, packetId & 0xff, 0, 1, GRANTED.charCodeAt(0)]));
  }

  auth(): void {
    throw new Error("AUTH is MQTT 5");
  }

  disconnect(): null {
    return null;
  }

  dispose(): void {
    this.#state = "disposed";
    this.#answer = null;
    this.destroy();
  }

  // ---- the stream: what aedes writes is captured

  #captured(bytes: Buffer): void {
    switch (this.#state) {
      case "accepting":
        // all that can be written before `ready` is CONNACK
        this.#connack = this.#connack === null ? bytes : Buffer.concat([this.#connack, bytes]);
        break;
      case "refusing":
        this.#host.refused(bytes, this.#refusal!);
        break;
      case "open":
        this.#host.send(bytes);
        break;
      default:
    }
  }

  override _read(): void {
    // pushed by connect, suback, unsuback
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: () => void): void {
    this.#captured(chunk);
    callback();
  }

  override _writev(chunks: { chunk: Buffer }[], callback: () => void): void {
    this.#captured(Buffer.concat(chunks.map((part) => part.chunk)));
    callback();
  }

  override _destroy(_error: Error | null, callback: (error: Error | null) => void): void {
    const wasLive = this.#state !== "disposed";
    this.#state = "disposed";
    callback(null);
    // aedes gave up on the connection by itself
    if (wasLive) this.#host.refused(null, this.#refusal ?? { reason: "refused by the 3.x parser", reasonCode: reasonCodes.malformedPacket });
  }
}

/** 3.1 leaves bit 0 of the flags open and lets an announced user name or password be missing; the parser of aedes does not. */
function tolerant(bytes: Buffer, outline: ConnectOutline): Buffer {
  const { flagsAt, flags } = outline;
  let wanted = flags & ~1;
  if (outline.isCutShort) wanted &= ~(hasUserName(bytes, outline) ? connectFlag.password : connectFlag.userName | connectFlag.password);
  if (wanted === flags) return bytes;
  const copy = Buffer.from(bytes);
  copy[flagsAt] = wanted;
  return copy;
}

/** Whether a user name is there: walks the payload, whose lengths are checked. */
function hasUserName(bytes: Buffer, outline: ConnectOutline): boolean {
  let at = outline.flagsAt + 3;
  for (let fields = (outline.flags & connectFlag.will) !== 0 ? 3 : 1; fields > 0; fields--) at += 2 + bytes.readUInt16BE(at);
  return at < bytes.length;
}
