/**
 * P2P messages on their way into the inbox of the own shard: those that come together are one
 * entry, one entry is on its way at a time, so that they are stored in the order they came.
 */
import type { AppendResult, Bus } from "@hawser/bus";
import { encodeInboxEntry, OWN_PARTITION, subjects, type InboxMessage } from "@hawser/wire";

type Done = (kind: AppendResult["kind"]) => void;

const ENTRY_MAX_MESSAGES = 1000;
const ENTRY_MAX_BYTES = 524_288;

export class StoredAppends {
  readonly #bus: Pick<Bus, "append">;
  readonly #subject: string;
  #waiting: { readonly message: InboxMessage; readonly done: Done }[] = [];
  #flying = false;
  #scheduled = false;

  constructor(bus: Pick<Bus, "append">, shard: number) {
    this.#bus = bus;
    this.#subject = subjects.inbox(shard);
  }

  get pending(): number {
    return this.#waiting.length + (this.#flying ? 1 : 0);
  }

  /** @param done called once, in order; `unknown`: the answer was lost, it may be stored */
  append(message: InboxMessage, done: Done): void {
    this.#waiting.push({ message, done });
    if (this.#flying || this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#send();
    });
  }

  #send(): void {
    if (this.#flying || this.#waiting.length === 0) return;
    let [count, sizeBytes] = [0, 0];
    while (count < this.#waiting.length && count < ENTRY_MAX_MESSAGES && (count === 0 || sizeBytes < ENTRY_MAX_BYTES)) {
      sizeBytes += this.#waiting[count]!.message.envelope.length;
      if (count > 0 && sizeBytes > ENTRY_MAX_BYTES) break;
      count++;
    }
    const batch = this.#waiting.splice(0, count);
    this.#flying = true;
    const entry = encodeInboxEntry({ partition: OWN_PARTITION, logSequence: 0, messages: batch.map(({ message }) => message) });
    this.#bus.append(this.#subject, entry, (result) => {
      this.#flying = false;
      for (const { done } of batch) done(result.kind);
      this.#send();
    });
  }
}
