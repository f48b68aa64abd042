/**
 * The live way of a message: publishes of one tick go to NATS together, followed by one flush; who
 * must acknowledge its client waits for that flush. Interest is counted per subject, so that a
 * thousand subscribers of one filter are one NATS subscription.
 *
 * While NATS is away nothing is published: messages of QoS 0 are dropped and counted, the others
 * wait (their number is bounded by the clients' windows) and go out after the reconnect.
 */
import type { Bus, Subscription } from "@hawser/bus";

/** Who must know that NATS has a message. */
export interface LiveWaiter {
  flushed(): void;
}

interface Pending {
  readonly subject: string;
  readonly envelope: Buffer;
  readonly waiter: LiveWaiter | null;
}

export class LiveBus {
  readonly #bus: Bus;
  readonly #onDropped: (count: number) => void;
  #pending: Pending[] = [];
  #scheduled = false;
  readonly #interest = new Map<string, { count: number; subscription: Subscription }>();
  readonly #stopListening: () => void;

  constructor(bus: Bus, onDropped: (count: number) => void) {
    this.#bus = bus;
    this.#onDropped = onDropped;
    this.#stopListening = bus.onStatus((connected) => {
      if (connected) this.#schedule();
    });
  }

  /** @param waiter null for QoS 0, which nobody waits for */
  publish(subject: string, envelope: Buffer, waiter: LiveWaiter | null): void {
    this.#pending.push({ subject, envelope, waiter });
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled || this.#pending.length === 0) return;
    this.#scheduled = true;
    setImmediate(() => this.#send());
  }

  #send(): void {
    this.#scheduled = false;
    const batch = this.#pending;
    this.#pending = [];
    for (const item of batch) {
      if (!this.#bus.publish(item.subject, item.envelope)) return this.#keep(batch);
    }
    if (!batch.some((item) => item.waiter !== null)) return;
    this.#bus.flush().then(
      () => {
        for (const item of batch) item.waiter?.flushed();
      },
      () => this.#keep(batch),
    );
  }

  /** Sent again as a whole: a live message may arrive twice after an outage, it is not lost. */
  #keep(batch: readonly Pending[]): void {
    const wanted = batch.filter((item) => item.waiter !== null);
    this.#onDropped(batch.length - wanted.length);
    this.#pending = [...wanted, ...this.#pending];
    if (this.#bus.connected) setTimeout(() => this.#schedule(), 50).unref();
  }

  get interests(): number {
    return this.#interest.size;
  }

  addInterest(subject: string, handler: (envelope: Buffer) => void): void {
    const known = this.#interest.get(subject);
    if (known) known.count++;
    else this.#interest.set(subject, { count: 1, subscription: this.#bus.subscribe(subject, (message) => handler(message.data)) });
  }

  removeInterest(subject: string): void {
    const known = this.#interest.get(subject);
    if (!known || --known.count > 0) return;
    this.#interest.delete(subject);
    known.subscription.unsubscribe();
  }

  stop(): void {
    this.#stopListening();
    for (const { subscription } of this.#interest.values()) subscription.unsubscribe();
    this.#interest.clear();
  }
}
