/**
 * One connection as a state machine over an abstract socket.
 *
 *   new         waits for CONNECT, until the connect timeout
 *   connecting  the handler has the CONNECT; nothing more is read (MQTT 5: AUTH, if it asks for it)
 *   accepting   the dialect makes CONNACK; what is delivered meanwhile waits behind it
 *   open        packets flow; keep alive is watched
 *   closed      the handler has been told; the socket gets a moment to send what is left
 *
 * Reading stops while a CONNECT is unanswered, the inbound window or the socket's output is full, or
 * the handler wants it; a connection that is not read cannot miss its keep alive.
 */
import { encodeConnackRefusal, Mqtt5Dialect } from "./dialects/v5.ts";
import { encodeReturnCode, Mqtt3Dialect } from "./dialects/v3.ts";
import type { Dialect, DialectHost } from "./dialects/dialect.ts";
import { outlineConnect } from "./codec/connect.ts";
import { packetProblems, type PacketProblem } from "./codec/packet-problem.ts";
import { PacketFramer, type FramingProblem } from "./framing.ts";
import { InboundFlow, type InboundOwner } from "./inbound-flow.ts";
import { OutboundFlow, type OutboundOwner } from "./outbound-flow.ts";
import { PacketOutput } from "./packet-output.ts";
import { readControl } from "./read-control.ts";
import { reasonCodeName, reasonCodes, returnCodes } from "./reason-codes.ts";
import type { ConnectionShared } from "./connection-shared.ts";
import type { WheelEntry } from "./timer-wheel.ts";
import type { AuthInfo, ClosedInfo, CloseReason, ConnectAccept, ConnectionHandler, ConnectionObserver, ConnectionSocket, ConnectPacketInfo, ConnectRefusal, DeliverOptions, DeliverResult, InboundSlot, MqttSettings, OutboundItem, OutgoingPublish, ProtocolLevel } from "./types.ts";

const STOP_CONNECT = 1;
const STOP_WINDOW = 2;
const STOP_OUTPUT = 4;
const STOP_USER = 8;

const PINGRESP = Buffer.from([0xd0, 0]);

interface CloseDetails {
  readonly reason: string;
  readonly reasonCode: number;
  readonly goodbye?: boolean;
  readonly will?: "discard";
  readonly sessionExpirySeconds?: number;
  /** Last packet, after what is pending. */
  readonly farewell?: Buffer | null;
  /** How the socket goes: `gone` already. */
  readonly socket?: "end" | "destroy" | "gone";
}

export class MqttConnection implements WheelEntry, DialectHost, InboundOwner, OutboundOwner {
  /** Unique in this process, from 1. */
  readonly id: number;
  /** Whatever the user keeps with the connection. */
  context: unknown = null;
  /** Owned by the timer wheel and the flush queue. */
  wheelSlot = -1;
  flushRequested = false;

  readonly #shared: ConnectionShared;
  readonly #socket: ConnectionSocket;
  readonly #framer: PacketFramer;
  readonly #output: PacketOutput;
  readonly #sink: (firstByte: number, bytes: Buffer, bodyOffset: number) => boolean;
  #state: "new" | "connecting" | "accepting" | "open" | "closed" = "new";
  #dialect: Dialect | null = null;
  #request: ConnectPacketInfo | null = null;
  #inbound: InboundFlow | null = null;
  #outbound: OutboundFlow | null = null;
  #stops = 0;
  #keepAliveSeconds = 0;
  #keepAliveTicks = 0;
  /** Tick of the last bytes read; of the deadline while `new` or `closed`. */
  #tick: number;
  #congestedSince = -1;
  #authenticating = false;

  constructor(shared: ConnectionShared, socket: ConnectionSocket, id: number) {
    this.id = id;
    this.#shared = shared;
    this.#socket = socket;
    this.#framer = new PacketFramer(shared.settings);
    this.#output = new PacketOutput(socket);
    this.#sink = (firstByte, bytes, bodyOffset) => this.#packet(firstByte, bytes, bodyOffset);
    const ticks = shared.wheel.ticksFor(shared.settings.connectTimeoutMs);
    this.#tick = shared.wheel.now + ticks;
    shared.wheel.schedule(this, ticks);
  }

  get connection(): this {
    return this;
  }
  get handler(): ConnectionHandler {
    return this.#shared.handler;
  }
  get observer(): ConnectionObserver {
    return this.#shared.observer;
  }
  get settings(): MqttSettings {
    return this.#shared.settings;
  }
  get nowMs(): () => number {
    return this.#shared.nowMs;
  }
  /** 0 before CONNECT. */
  get level(): ProtocolLevel | 0 {
    return this.#dialect?.level ?? 0;
  }
  /** Null until the handler has it. */
  get request(): ConnectPacketInfo | null {
    return this.#request;
  }
  get isOpen(): boolean {
    return this.#state === "open";
  }
  get isClosed(): boolean {
    return this.#state === "closed";
  }
  /** What is enforced, 0 = off. */
  get keepAliveSeconds(): number {
    return this.#keepAliveSeconds;
  }
  /** QoS 1 and 2 messages in flight to the client. */
  get inFlight(): number {
    return this.#outbound?.inFlight ?? 0;
  }
  /** QoS 1 and 2 messages waiting behind the window. */
  get queued(): number {
    return this.#outbound?.queued ?? 0;
  }

  // ---- from the socket

  receive(chunk: Buffer): void {
    if (this.#state === "closed") return;
    if (this.#state === "open") this.#tick = this.#shared.wheel.now;
    this.#framed(this.#framer.push(chunk, this.#sink));
  }

  /** The socket has sent everything. */
  drained(): void {
    if (this.#state === "closed") return;
    this.checkCongestion(this.#shared.wheel.now);
    this.requestFlush();
  }

  /** The socket is gone. @param reason a constant, for counters: "socket closed" */
  socketClosed(reason: string): void {
    if (this.#state === "closed") this.#shared.wheel.cancel(this);
    else this.#finish({ reason, reasonCode: 0, socket: "gone" });
  }

  // ---- from the user; nothing happens on a closed connection

  acceptConnect(accept: ConnectAccept): void {
    if (this.#state !== "connecting") return;
    const { settings } = this.#shared;
    const request = this.#request!;
    this.#state = "accepting";
    this.#keepAliveSeconds = accept.serverKeepAliveSeconds ?? request.keepAliveSeconds;
    this.#inbound = new InboundFlow(this, request.level, request.maximumPacketBytes, request.requestProblemInformation, accept.openReceiveIds ?? []);
    this.#outbound = new OutboundFlow(this, this.#output, request.level, request.receiveMaximum, request.maximumPacketBytes);
    this.#dialect!.accept(accept, settings.inboundWindowMessages);
  }

  refuseConnect(refusal: ConnectRefusal): void {
    if (this.#state !== "connecting") return;
    this.#dialect!.refuse(refusal);
  }

  /** @param reasonCode 0 or 0x10: acknowledged; >= 0x80: MQTT 5 says so, 3.x closes when its turn comes. A slot counts once. */
  completePublish(slot: InboundSlot, reasonCode = 0, reasonString?: string): void {
    if (this.#state !== "closed") this.#inbound?.complete(slot, reasonCode, reasonString);
  }

  /** @param codes one per subscription: granted QoS, or >= 0x80 (3.x: always told as 0x80) */
  answerSubscribe(packetId: number, codes: readonly number[], reasonString?: string): void {
    if (this.#state === "open") this.#dialect!.suback(packetId, codes, reasonString);
  }

  /** @param codes one per filter: 0, 0x11, or >= 0x80; 3.x tells none of them */
  answerUnsubscribe(packetId: number, codes: readonly number[], reasonString?: string): void {
    if (this.#state === "open") this.#dialect!.unsuback(packetId, codes, reasonString);
  }

  /** AUTH of MQTT 5: 0x18 continue; 0x00 at the end of a re-authentication. */
  sendAuth(info: AuthInfo): void {
    if (this.level !== 5 || (this.#state !== "connecting" && this.#state !== "open")) return;
    this.#dialect!.auth(info);
    if (this.#state === "connecting") {
      this.#authenticating = true;
      this.#go(STOP_CONNECT);
    }
  }

  deliver(publish: OutgoingPublish, options: DeliverOptions): DeliverResult {
    return this.#state === "open" || this.#state === "accepting" ? this.#outbound!.deliver(publish, options) : "dropped";
  }

  /** Sends PUBREL again for a QoS 2 message the client has received under this id [MQTT-4.4.0-1]. */
  deliverRelease(packetId: number, item: OutboundItem): DeliverResult {
    const isLive = this.#state === "open" || this.#state === "accepting";
    return isLive && this.#outbound!.resumeRelease(packetId, item) ? "queued" : "dropped";
  }

  /** Nothing is read until resumeReading. */
  pauseReading(): void {
    if (this.#state !== "closed") this.#stop(STOP_USER);
  }

  resumeReading(): void {
    if (this.#state !== "closed") this.#go(STOP_USER);
  }

  /** `closed` is called before this returns. */
  close(reason: CloseReason): void {
    if (this.#state === "closed") return;
    const { reasonCode } = reason;
    // before CONNACK a DISCONNECT is not allowed: a CONNACK says it, where it can [MQTT-3.14.0-1]
    const farewell = this.#state === "open" ? this.#dialect!.disconnect(reason) : this.#state === "connecting" && this.level === 5 ? encodeConnackRefusal(reason) : null;
    this.#finish({ reason: reason.reason, reasonCode, farewell });
  }

  // ---- from the dialect

  connectRequested(info: ConnectPacketInfo): void {
    if (this.#state !== "connecting") return;
    this.#request = info;
    this.handler.connect(this, info);
  }

  accepted(connack: Buffer): void {
    if (this.#state !== "accepting") return;
    this.#state = "open";
    this.#output.open(connack);
    this.#framer.connected();
    this.requestFlush();
    const { wheel } = this.#shared;
    this.#tick = wheel.now;
    if (this.#keepAliveSeconds > 0) {
      // [MQTT-3.1.2-22]: one and a half times the keep alive
      this.#keepAliveTicks = wheel.ticksFor(this.#keepAliveSeconds * 1500);
      wheel.schedule(this, this.#keepAliveTicks);
    } else {
      wheel.cancel(this);
    }
    this.#go(STOP_CONNECT);
  }

  refused(connack: Buffer | null, why: Pick<ConnectRefusal, "reason" | "reasonCode">): void {
    if (this.#state === "closed") return;
    this.observer.refused(why.reason, this.level);
    this.#finish({ reason: why.reason, reasonCode: why.reasonCode, farewell: connack });
  }

  send(bytes: Buffer): void {
    if (this.#state === "connecting") {
      this.#output.writeNow(bytes);
    } else if (this.#state === "open") {
      this.#output.push(bytes);
      this.requestFlush();
    }
  }

  /** The client broke the protocol. */
  failed(problem: PacketProblem): void {
    if (this.#state === "closed") return;
    this.observer.malformed(problem.reason, this.level);
    this.close(problem);
  }

  // ---- shared machinery

  requestFlush(): void {
    if (!this.flushRequested) this.#shared.requestFlush(this);
  }

  pauseForWindow(): void {
    if ((this.#stops & STOP_WINDOW) !== 0 || this.#state === "closed") return;
    this.observer.readingPaused("window");
    this.#stop(STOP_WINDOW);
  }

  /** Once per tick for a connection with something to write. */
  flush(): void {
    if (this.#state !== "open") return;
    const acks = this.#inbound!.drain();
    if (acks !== null && acks.bytes !== null) this.#output.push(acks.bytes);
    if (acks?.failed) {
      this.#finish({ reason: "publish refused", reasonCode: 0 });
      return;
    }
    this.#outbound!.pump();
    this.#output.flush();
    this.#outbound!.written();
    if (this.#closedMeanwhile()) return;
    if (this.#congestedSince < 0 && this.#socket.writableLength > this.settings.slowConsumerBytes) {
      this.#congestedSince = this.#shared.wheel.now;
      this.#shared.congested.add(this);
    }
    if (this.#congestedSince >= 0) this.checkCongestion(this.#shared.wheel.now);
    if ((this.#stops & STOP_WINDOW) !== 0 && this.#inbound!.mayRead) this.#go(STOP_WINDOW);
  }

  #closedMeanwhile(): boolean {
    return this.#state === "closed";
  }

  /** While the socket holds more than slowConsumerBytes: at each tick of the wheel, each flush, each drain. */
  checkCongestion(now: number): void {
    if (this.#congestedSince < 0) return;
    const { settings, wheel } = this.#shared;
    const unsent = this.#socket.writableLength;
    if (unsent <= settings.slowConsumerBytes) {
      this.#congestedSince = -1;
      this.#shared.congested.delete(this);
      this.#go(STOP_OUTPUT);
      this.requestFlush();
      return;
    }
    const isOverdue = settings.slowConsumerCloseMs > 0 && now - this.#congestedSince >= wheel.ticksFor(settings.slowConsumerCloseMs);
    if (unsent > settings.slowConsumerCloseBytes || isOverdue) {
      this.close({ reasonCode: reasonCodes.quotaExceeded, reason: "slow consumer" });
    } else if (unsent > settings.slowConsumerBytes * 2 && (this.#stops & STOP_OUTPUT) === 0) {
      // acknowledgements pile up: read no more of what makes them
      this.observer.readingPaused("output");
      this.#stop(STOP_OUTPUT);
    }
  }

  onTick(now: number): number {
    switch (this.#state) {
      case "new":
        if (now < this.#tick) return this.#tick - now;
        this.#finish({ reason: "connect timeout", reasonCode: 0, socket: "destroy" });
        return 0;
      case "open": {
        if (this.#keepAliveTicks === 0) return 0;
        if (this.#stops !== 0) this.#tick = now;
        const due = this.#tick + this.#keepAliveTicks;
        if (now < due) return due - now;
        // [MQTT-3.1.2-22]
        this.close({ reasonCode: reasonCodes.keepAliveTimeout, reason: "keep alive timeout" });
        return 0;
      }
      case "closed":
        if (now < this.#tick) return this.#tick - now;
        this.#socket.destroy();
        return 0;
      default:
        return 0;
    }
  }

  #stop(cause: number): void {
    if (this.#stops === 0) {
      this.#framer.stop();
      this.#socket.pause();
    }
    this.#stops |= cause;
  }

  #go(cause: number): void {
    if ((this.#stops & cause) === 0) return;
    this.#stops &= ~cause;
    if (this.#stops !== 0) return;
    if (this.#state === "open") this.#tick = this.#shared.wheel.now;
    this.#framed(this.#framer.resume(this.#sink));
    if (this.#stops === 0 && this.#state !== "closed") this.#socket.resume();
  }

  #framed(problem: FramingProblem | null): void {
    if (problem === null || this.#state === "closed") return;
    const isOpen = this.#state === "open";
    this.observer.malformed(problem, this.level);
    const reasonCode = problem === "too-large" ? reasonCodes.packetTooLarge : problem === "malformed-length" ? reasonCodes.malformedPacket : reasonCodes.protocolError;
    if (isOpen) this.close({ reasonCode, reason: problem });
    else this.#finish({ reason: problem, reasonCode, socket: "destroy" });
  }

  /** @returns false to stop the framer */
  #packet(firstByte: number, bytes: Buffer, bodyOffset: number): boolean {
    const problem = this.#state === "new" ? this.#connect(firstByte, bytes, bodyOffset) : this.#dispatch(firstByte, bytes, bodyOffset);
    if (problem !== null) this.failed(problem);
    return this.#stops === 0;
  }

  #connect(firstByte: number, bytes: Buffer, bodyOffset: number): null {
    const outline = outlineConnect(firstByte, bytes, bodyOffset);
    if ("problem" in outline) {
      this.#connectFailed(outline.problem, outline.level);
      return null;
    }
    this.#state = "connecting";
    this.#shared.wheel.cancel(this);
    this.#stop(STOP_CONNECT);
    this.#dialect = outline.level === 5 ? new Mqtt5Dialect(this, this.settings) : new Mqtt3Dialect(this, this.#shared.aedes, outline.level);
    this.#dialect.connect(bytes, outline);
    return null;
  }

  #connectFailed(problem: PacketProblem, level: ProtocolLevel | 0): void {
    const isVersion = problem.reasonCode === reasonCodes.unsupportedProtocolVersion;
    if (isVersion) this.observer.refused(problem.reason, level);
    else this.observer.malformed(problem.reason, level);
    const farewell = level === 5 ? encodeConnackRefusal(problem) : level > 0 && isVersion ? encodeReturnCode(returnCodes.unacceptableProtocolVersion) : null;
    this.#finish({ reason: problem.reason, reasonCode: problem.reasonCode, farewell });
  }

  #dispatch(firstByte: number, bytes: Buffer, bodyOffset: number): PacketProblem | null {
    // [MQTT-1.5.5-1]
    if (bodyOffset > 2 && bytes[bodyOffset - 1] === 0 && this.level === 5) return packetProblems.length;
    const type = firstByte >>> 4;
    if (this.#authenticating && type !== 14 && type !== 15) return packetProblems.packetType;
    switch (type) {
      case 3:
        return this.#inbound!.publish(firstByte, bytes, bodyOffset);
      case 4:
      case 5:
      case 7:
        return this.#outbound!.acknowledged(firstByte, bytes, bodyOffset);
      case 6:
        return this.#inbound!.pubrel(firstByte, bytes, bodyOffset);
      case 12:
        if (firstByte !== 0xc0) return packetProblems.flags;
        if (bytes.length !== bodyOffset) return packetProblems.trailing;
        this.send(PINGRESP);
        return null;
      case 1:
        // [MQTT-3.1.0-2]
        return packetProblems.secondConnect;
      default:
        return readControl(this, firstByte, bytes, bodyOffset);
    }
  }

  /** DISCONNECT of the client. */
  disconnected(reasonCode: number, sessionExpirySeconds: number | undefined): void {
    // [MQTT-3.14.4-3]: 0x04 asks for the will
    this.#finish({
      goodbye: true,
      reason: reasonCode === 0 ? "client disconnected" : `client: ${reasonCodeName(reasonCode)}`,
      reasonCode,
      ...(reasonCode === 0 && { will: "discard" }),
      ...(sessionExpirySeconds !== undefined && { sessionExpirySeconds }),
    });
  }

  /** AUTH of the client, while it is asked for or to authenticate anew. */
  authReceived(info: AuthInfo): void {
    if (this.#authenticating) {
      this.#authenticating = false;
      this.#stop(STOP_CONNECT);
    }
    this.handler.auth!(this, info);
  }

  get isAuthenticating(): boolean {
    return this.#authenticating;
  }

  #finish(details: CloseDetails): void {
    const wasOpen = this.#state === "open";
    this.#framer.kill();
    const { wheel } = this.#shared;
    if (wasOpen && details.socket === undefined) {
      const acks = this.#inbound!.drain();
      if (acks !== null && acks.bytes !== null) this.#output.push(acks.bytes);
      if (details.farewell) this.#output.push(details.farewell);
      this.#output.flush();
    } else if (details.farewell) {
      this.#output.writeNow(details.farewell);
    }
    this.#state = "closed";
    if (wasOpen && details.socket === undefined) this.#outbound!.written();
    this.#output.discard();
    wheel.cancel(this);
    if (details.socket === "destroy") {
      this.#socket.destroy();
    } else if (details.socket !== "gone") {
      this.#socket.end();
      // what still comes is read and forgotten, so that the end of the stream is noticed
      if (this.#stops !== 0) this.#socket.resume();
      const ticks = wheel.ticksFor(this.settings.lingerMs);
      this.#tick = wheel.now + ticks;
      wheel.schedule(this, ticks);
    }
    this.#dialect?.dispose();
    this.#shared.forget(this);
    const why: ClosedInfo = {
      goodbye: details.goodbye ?? false,
      reason: details.reason,
      reasonCode: details.reasonCode,
      will: details.will ?? "publish",
      ...(details.sessionExpirySeconds !== undefined && { sessionExpirySeconds: details.sessionExpirySeconds }),
      undelivered: this.#outbound?.takeUndelivered() ?? [],
      openReceiveIds: this.#inbound?.openReceiveIds ?? [],
    };
    this.observer.closed(details.reason);
    this.handler.closed(this, why);
  }
}
