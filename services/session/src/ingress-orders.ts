/**
 * Orders to ingresses: close a connection (asked again until it is known to be over), list the
 * connections of a shard, deliver.
 */
import type { Bus } from "@hawser/bus";
import type { OutgoingDelivery } from "@hawser/inbox";
import { decodeAnswer, encodeDelivery, encodeFrame, IngressVerb, subjects, type CloseOrder, type Delivery } from "@hawser/wire";
import type { Connection } from "./session-state.ts";

const CLOSE_TIMEOUT_MS = 2_000;
const CLOSE_RETRY_MS = 250;

export class IngressOrders {
  readonly #bus: Bus;

  constructor(bus: Bus) {
    this.#bus = bus;
  }

  /**
   * @param isWanted whether it is still to be closed
   * @param confirmed the ingress says that it is gone and its appends are resolved
   */
  close(connection: Connection, reason: CloseOrder["reason"], isWanted: () => boolean, confirmed: () => void): void {
    const order: CloseOrder = { connection: connection.connection, reason };
    const frame = encodeFrame(IngressVerb.close, order);
    const ask = (): void => {
      this.#bus.requestCallback(subjects.ingress(connection.ingress), frame, CLOSE_TIMEOUT_MS, (error, data) => {
        if (!isWanted()) return;
        if (!error && decodeAnswer(data).ok) confirmed();
        // nobody there is no proof: the ingress may be cut off while its clients are still connected
        else setTimeout(() => isWanted() && ask(), CLOSE_RETRY_MS).unref();
      });
    };
    ask();
  }

  list(ingress: string, shard: number, epoch: number): void {
    this.#bus.publish(subjects.ingress(ingress), encodeFrame(IngressVerb.list, { shard, epoch }));
  }

  /** @returns false when NATS is away */
  deliver({ ingress, receivers, envelope, receipt }: OutgoingDelivery): boolean {
    const delivery: Delivery = { receivers, receiptTo: receipt?.receiptTo ?? "", token: receipt?.token ?? "", envelope };
    return this.#bus.publish(subjects.ingress(ingress), encodeFrame(IngressVerb.deliver, null, encodeDelivery(delivery)));
  }
}
