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
import type { PacketProblem } from "./codec/packet-problem.ts";
import type { ConnectionShared } from "./connection-shared.ts";
import type { FramingProblem } from "./framing.ts";
import { InboundFlow } from "./inbound-flow.ts";
import { OutboundFlow } from "./outbound-flow.ts";
import { readPacket, type PacketReceiver } from "./read-packet.ts";
import { reasonCodeName, reasonCodes, returnCodes } from "./reason-codes.ts";
import type { WheelEntry } from "./timer-wheel.ts";
import { stopCause, Transport, type TransportOwner } from "./transport.ts";
import type { AuthInfo, ClosedInfo, CloseReason, ConnectAccept, ConnectionSocket, ConnectPacketInfo, ConnectRefusal, DeliverOptions, DeliverResult, InboundSlot, OutboundItem, OutgoingPublish, ProtocolLevel } from "./types.ts";

const PINGRESP = Buffer.from([0xd0, 0]);

type Ending = Pick<ClosedInfo, "reason" | "reasonCode"> & Partial<Pick<ClosedInfo, "goodbye" | "will" | "sessionExpirySeconds">>;

export class MqttConnection implements WheelEntry, DialectHost, TransportOwner, PacketReceiver {
  /** Unique in this process, from 1. */
  readonly id: number;
  /** Whatever the user keeps with the connection. */
  context: unknown = null;
  /** Owned by the timer wheel and the flush queue. */
  wheelSlot = -1;
  flushRequested = false;

  readonly #shared: ConnectionShared;
  readonly #transport: Transport;
  #state: "new" | "connecting" | "accepting" | "open" | "closed" = "new";
  #dialect: Dialect | null = null;
  #request: ConnectPacketInfo | null = null;
  #inbound: InboundFlow | null = null;
  #outbound: OutboundFlow | null = null;
  #isAuthenticating = false;
  #keepAliveSeconds = 0;
  #keepAliveTicks = 0;
  /** Tick of the last bytes read; the deadline while `new` or `closed`. */
  #tick: number;

  constructor(shared: ConnectionShared, socket: ConnectionSocket, id: number) {
    this.id = id;
    this.#shared = shared;
    this.#transport = new Transport(shared, socket, this);
    this.#tick = this.#deadline(shared.settings.connectTimeoutMs);
  }

  /** 0 before CONNECT. */
  get level(): ProtocolLevel | 0 {
    return this.#dialect?.level ?? 0;
  }
  /** What CONNECT said; not to be asked before the handler has it. */
  get request(): ConnectPacketInfo {
    return this.#request!;
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
    this.#transport.receive(chunk);
  }

  /** The socket has sent everything. */
  drained(): void {
    if (this.#state === "closed") return;
    this.#transport.checkCongestion();
    this.requestFlush();
  }

  /** The socket is gone. @param reason a constant, for counters: "socket closed" */
  socketClosed(reason: string): void {
    if (this.#state === "closed") this.#shared.wheel.cancel(this);
    else this.#finish("gone", null, { reason, reasonCode: 0 });
  }

  // ---- from the user; nothing happens on a closed connection

  acceptConnect(accept: ConnectAccept): void {
    if (this.#state !== "connecting") return;
    const request = this.#request!;
    this.#state = "accepting";
    this.#keepAliveSeconds = accept.serverKeepAliveSeconds ?? request.keepAliveSeconds;
    this.#inbound = new InboundFlow(this, this.#shared, request, accept);
    this.#outbound = new OutboundFlow(this, this.#shared, request, this.#transport.output);
    this.#dialect!.accept(accept, this.#shared.settings.inboundWindowMessages);
  }

  refuseConnect(refusal: ConnectRefusal): void {
    if (this.#state === "connecting") this.#dialect!.refuse(refusal);
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
      this.#isAuthenticating = true;
      this.#transport.go(stopCause.connect);
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
    this.#transport.stop(stopCause.user);
  }

  resumeReading(): void {
    this.#transport.go(stopCause.user);
  }

  /** `closed` of the handler is called before this returns. */
  close(reason: CloseReason): void {
    if (this.#state === "closed") return;
    // before CONNACK a DISCONNECT is not allowed: CONNACK says it, where it can [MQTT-3.14.0-1]
    const farewell = this.#state === "open" ? this.#dialect!.disconnect(reason) : this.#state === "connecting" && this.level === 5 ? encodeConnackRefusal(reason) : null;
    this.#finish("end", farewell, reason);
  }

  // ---- internal: from the dialect

  connectRequested(info: ConnectPacketInfo): void {
    if (this.#state !== "connecting") return;
    this.#request = info;
    this.#shared.handler.connect(this, info);
  }

  accepted(connack: Buffer): void {
    if (this.#state !== "accepting") return;
    this.#state = "open";
    this.#transport.open(connack);
    this.requestFlush();
    const { wheel } = this.#shared;
    this.#tick = wheel.now;
    if (this.#keepAliveSeconds > 0) {
      // one and a half times the keep alive [MQTT-3.1.2-22]
      this.#keepAliveTicks = wheel.ticksFor(this.#keepAliveSeconds * 1500);
      wheel.schedule(this, this.#keepAliveTicks);
    }
    this.#transport.go(stopCause.connect);
  }

  refused(connack: Buffer | null, why: Pick<ConnectRefusal, "reason" | "reasonCode">): void {
    if (this.#state === "closed") return;
    this.#shared.observer.refused(why.reason, this.level);
    this.#finish("end", connack, why);
  }

  send(bytes: Buffer): void {
    if (this.#state === "connecting") {
      this.#transport.output.writeNow(bytes);
    } else if (this.#state === "open") {
      this.#transport.output.push(bytes);
      this.requestFlush();
    }
  }

  /** The client broke the protocol. */
  failed(problem: PacketProblem): void {
    if (this.#state === "closed") return;
    this.#shared.observer.malformed(problem.reason, this.level);
    this.close(problem);
  }

  // ---- internal: from the transport

  packet(firstByte: number, bytes: Buffer, bodyOffset: number): void {
    if (this.#state === "new") {
      this.#connect(firstByte, bytes, bodyOffset);
      return;
    }
    const problem = readPacket(this, this.#shared.handler, firstByte, bytes, bodyOffset);
    if (problem !== null) this.failed(problem);
  }

  framingFailed(problem: FramingProblem): void {
    this.#shared.observer.malformed(problem, this.level);
    const reasonCode = problem === "too-large" ? reasonCodes.packetTooLarge : problem === "malformed-length" ? reasonCodes.malformedPacket : reasonCodes.protocolError;
    if (this.#state === "open") this.close({ reasonCode, reason: problem });
    else this.#finish("destroy", null, { reason: problem, reasonCode });
  }

  readingResumed(): void {
    if (this.#state === "open") this.#tick = this.#shared.wheel.now;
  }

  outputRecovered(): void {
    this.requestFlush();
  }

  outputStuck(): void {
    this.close({ reasonCode: reasonCodes.quotaExceeded, reason: "slow consumer" });
  }

  // ---- internal: from the packets

  get connection(): this {
    return this;
  }
  get inbound(): InboundFlow | null {
    return this.#inbound;
  }
  get outbound(): OutboundFlow | null {
    return this.#outbound;
  }
  get isAuthenticating(): boolean {
    return this.#isAuthenticating;
  }

  pinged(): void {
    this.send(PINGRESP);
  }

  disconnected(reasonCode: number, sessionExpirySeconds: number | undefined): void {
    const reason = reasonCode === 0 ? "client disconnected" : `client: ${reasonCodeName(reasonCode)}`;
    // [MQTT-3.14.4-3]: any other code, 0x04 above all, leaves the will
    const will = reasonCode === 0 ? "discard" : "publish";
    this.#finish("end", null, { goodbye: true, reason, reasonCode, will, ...(sessionExpirySeconds !== undefined && { sessionExpirySeconds }) });
  }

  authReceived(info: AuthInfo): void {
    if (this.#isAuthenticating) {
      this.#isAuthenticating = false;
      this.#transport.stop(stopCause.connect);
    }
    this.#shared.handler.auth!(this, info);
  }

  // ---- internal: flush and timers

  requestFlush(): void {
    if (!this.flushRequested) this.#shared.requestFlush(this);
  }

  pauseForWindow(): void {
    if (this.#state === "closed" || this.#transport.isStoppedBy(stopCause.window)) return;
    this.#shared.observer.readingPaused("window");
    this.#transport.stop(stopCause.window);
  }

  /** Once per tick for a connection with something to write. */
  flush(): void {
    if (this.#state !== "open") return;
    if (this.#drainAcks()) {
      this.#finish("end", null, { reason: "publish refused", reasonCode: 0 });
      return;
    }
    this.#outbound!.pump();
    this.#transport.flush();
    this.#outbound!.written();
    if (this.#transport.isStoppedBy(stopCause.window) && this.#inbound!.mayRead) this.#transport.go(stopCause.window);
  }

  /** @returns whether 3.x has to close instead of acknowledging the next one */
  #drainAcks(): boolean {
    const acks = this.#inbound!.drain();
    if (acks === null) return false;
    if (acks.bytes !== null) this.#transport.output.push(acks.bytes);
    return acks.failed;
  }

  onTick(now: number): number {
    switch (this.#state) {
      case "new":
        if (now < this.#tick) return this.#tick - now;
        this.#finish("destroy", null, { reason: "connect timeout", reasonCode: 0 });
        return 0;
      case "open": {
        if (this.#transport.isStopped) this.#tick = now;
        const due = this.#tick + this.#keepAliveTicks;
        if (now < due) return due - now;
        this.close({ reasonCode: reasonCodes.keepAliveTimeout, reason: "keep alive timeout" });
        return 0;
      }
      case "closed":
        if (now < this.#tick) return this.#tick - now;
        this.#transport.destroy();
        return 0;
      default:
        return 0;
    }
  }

  /** @returns the tick at which the wheel comes */
  #deadline(durationMs: number): number {
    const { wheel } = this.#shared;
    const ticks = wheel.ticksFor(durationMs);
    wheel.schedule(this, ticks);
    return wheel.now + ticks;
  }

  // ---- the two ends

  #connect(firstByte: number, bytes: Buffer, bodyOffset: number): void {
    const outline = outlineConnect(firstByte, bytes, bodyOffset);
    if ("problem" in outline) {
      const { problem, level } = outline;
      const isVersion = problem.reasonCode === reasonCodes.unsupportedProtocolVersion;
      if (isVersion) this.#shared.observer.refused(problem.reason, level);
      else this.#shared.observer.malformed(problem.reason, level);
      const farewell = level === 5 ? encodeConnackRefusal(problem) : level > 0 && isVersion ? encodeReturnCode(returnCodes.unacceptableProtocolVersion) : null;
      this.#finish("end", farewell, problem);
      return;
    }
    this.#state = "connecting";
    this.#shared.wheel.cancel(this);
    this.#transport.stop(stopCause.connect);
    this.#dialect = outline.level === 5 ? new Mqtt5Dialect(this, this.#shared.settings) : new Mqtt3Dialect(this, this.#shared.aedes, outline.level);
    this.#dialect.connect(bytes, outline);
  }

  #finish(how: "end" | "destroy" | "gone", farewell: Buffer | null, ending: Ending): void {
    const { wheel, observer, handler } = this.#shared;
    const wasOpen = this.#state === "open";
    if (wasOpen && how === "end") this.#drainAcks();
    this.#state = "closed";
    this.#transport.close(how, farewell);
    if (how === "end") this.#tick = this.#deadline(this.#shared.settings.lingerMs);
    else wheel.cancel(this);
    this.#dialect?.dispose();
    this.#shared.forget(this);
    if (wasOpen && how === "end") this.#outbound!.written();
    observer.closed(ending.reason);
    handler.closed(this, {
      goodbye: ending.goodbye ?? false,
      reason: ending.reason,
      reasonCode: ending.reasonCode,
      will: ending.will ?? "publish",
      ...(ending.sessionExpirySeconds !== undefined && { sessionExpirySeconds: ending.sessionExpirySeconds }),
      undelivered: this.#outbound?.takeUndelivered() ?? [],
      openReceiveIds: this.#inbound?.openReceiveIds ?? [],
    });
  }
}
