/**
 * The byte side of a connection: reads through the framer, writes once per tick, and minds the
 * socket: reading stops while anybody has a cause to stop it, output that the peer does not take is
 * watched.
 *
 *   unsent > slowConsumerBytes          QoS 0 is dropped, QoS 1 and 2 wait (OutboundFlow)
 *   unsent > twice slowConsumerBytes    acknowledgements pile up: reading stops
 *   unsent > slowConsumerCloseBytes,
 *   or slow for slowConsumerCloseMs     the connection is closed
 */
import type { ConnectionShared } from "./connection-shared.ts";
import { PacketFramer, type FramingProblem, type PacketSink } from "./framing.ts";
import { PacketOutput } from "./packet-output.ts";
import type { ConnectionSocket } from "./types.ts";

/** Who stops reading; bits. */
export const stopCause = { connect: 1, window: 2, output: 4, user: 8 } as const;

export interface TransportOwner {
  /** A whole packet; stop the transport to get no further one. */
  packet(firstByte: number, bytes: Buffer, bodyOffset: number): void;
  framingFailed(problem: FramingProblem): void;
  /** Reading goes on after a stop. */
  readingResumed(): void;
  /** Output may go on after the peer was slow. */
  outputRecovered(): void;
  /** The peer has not read for too long, or too little. */
  outputStuck(): void;
}

export class Transport {
  readonly output: PacketOutput;
  readonly #shared: ConnectionShared;
  readonly #socket: ConnectionSocket;
  readonly #owner: TransportOwner;
  readonly #framer: PacketFramer;
  readonly #sink: PacketSink;
  #stops = 0;
  #congestedSince = -1;
  #isClosed = false;

  constructor(shared: ConnectionShared, socket: ConnectionSocket, owner: TransportOwner) {
    this.#shared = shared;
    this.#socket = socket;
    this.#owner = owner;
    this.#framer = new PacketFramer(shared.settings);
    this.output = new PacketOutput(socket);
    this.#sink = (firstByte, bytes, bodyOffset) => {
      owner.packet(firstByte, bytes, bodyOffset);
      return this.#stops === 0;
    };
  }

  receive(chunk: Buffer): void {
    this.#framed(this.#framer.push(chunk, this.#sink));
  }

  get isStopped(): boolean {
    return this.#stops !== 0;
  }

  isStoppedBy(cause: number): boolean {
    return (this.#stops & cause) !== 0;
  }

  stop(cause: number): void {
    if (this.#isClosed) return;
    if (this.#stops === 0) {
      this.#framer.stop();
      this.#socket.pause();
    }
    this.#stops |= cause;
  }

  /** Goes on reading when no other cause is left, first with what is held. */
  go(cause: number): void {
    if ((this.#stops & cause) === 0 || this.#isClosed) return;
    this.#stops &= ~cause;
    if (this.#stops !== 0) return;
    this.#owner.readingResumed();
    this.#framed(this.#framer.resume(this.#sink));
    if (this.#stops === 0) this.#socket.resume();
  }

  #framed(problem: FramingProblem | null): void {
    if (problem !== null && !this.#isClosed) this.#owner.framingFailed(problem);
  }

  /** CONNACK: the limits of an open connection hold, output flows. */
  open(connack: Buffer): void {
    this.output.open(connack);
    this.#framer.connected();
  }

  flush(): void {
    this.output.flush();
    if (this.#congestedSince < 0) {
      if (this.#socket.writableLength <= this.#shared.settings.slowConsumerBytes) return;
      this.#congestedSince = this.#shared.wheel.now;
      this.#shared.congested.add(this);
    }
    this.checkCongestion();
  }

  /** At each tick of the wheel while congested, each flush, and when the socket has drained. */
  checkCongestion(): void {
    if (this.#congestedSince < 0) return;
    const { settings, wheel, congested, observer } = this.#shared;
    const unsent = this.#socket.writableLength;
    if (unsent <= settings.slowConsumerBytes) {
      this.#congestedSince = -1;
      congested.delete(this);
      this.go(stopCause.output);
      this.#owner.outputRecovered();
      return;
    }
    const isOverdue = settings.slowConsumerCloseMs > 0 && wheel.now - this.#congestedSince >= wheel.ticksFor(settings.slowConsumerCloseMs);
    if (unsent > settings.slowConsumerCloseBytes || isOverdue) {
      this.#owner.outputStuck();
    } else if (unsent > settings.slowConsumerBytes * 2 && !this.isStoppedBy(stopCause.output)) {
      observer.readingPaused("output");
      this.stop(stopCause.output);
    }
  }

  /**
   * The last of it. `end`: what is pending leaves if CONNACK has, then the farewell, then the socket
   * ends; `destroy` it at once; `gone`: it is.
   */
  close(how: "end" | "destroy" | "gone", farewell: Buffer | null): void {
    this.#isClosed = true;
    this.#framer.kill();
    this.#shared.congested.delete(this);
    if (how === "end") {
      if (this.output.isOpen) {
        if (farewell !== null) this.output.push(farewell);
        this.output.flush();
      } else if (farewell !== null) {
        this.output.writeNow(farewell);
      }
      this.#socket.end();
      // what still comes is read and forgotten, so that the end of the stream is noticed
      if (this.#stops !== 0) this.#socket.resume();
    } else if (how === "destroy") {
      this.#socket.destroy();
    }
    this.output.discard();
  }

  /** The linger time is over. */
  destroy(): void {
    this.#socket.destroy();
  }
}
