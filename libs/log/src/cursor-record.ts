import type { Bus, KvBucket } from "@hawser/bus";
import { buckets } from "@hawser/wire";
import { cursorKey, decodeCursor, encodeCursor, type Cursor } from "./cursor.ts";

const RETRY_MS = 100;

/** The cursor in its bucket: written only while its epoch is the newest. */
export class CursorRecord {
  readonly #kv: KvBucket;
  readonly #key: string;
  readonly #epoch: number;
  #revision = 0;

  constructor(bus: Bus, consumer: string, partition: number, epoch: number) {
    this.#kv = bus.kv(buckets.cursors);
    this.#key = cursorKey(consumer, partition);
    this.#epoch = epoch;
  }

  /** Stamps the epoch. @returns null when a newer one stands there. @throws when NATS is away */
  async claim(): Promise<Cursor | null> {
    for (;;) {
      const stored = await this.#kv.get(this.#key);
      const cursor = stored ? decodeCursor(stored.value) : null;
      if (cursor && cursor.epoch > this.#epoch) return null;
      const stamped: Cursor = { version: 1, epoch: this.#epoch, sequence: cursor?.sequence ?? 0, doneNext: cursor?.doneNext ?? {}, late: cursor?.late ?? [] };
      const value = encodeCursor(stamped);
      const written = stored ? await this.#kv.update(this.#key, value, stored.revision) : await this.#kv.create(this.#key, value);
      if (written.kind === "ok") {
        this.#revision = written.revision;
        return stamped;
      }
      // the older owner writes it a few times a second
      await new Promise((resolve) => setTimeout(resolve, Math.random() * RETRY_MS));
    }
  }

  /** @returns "unknown": try again later */
  async write(position: Pick<Cursor, "sequence" | "doneNext" | "late">): Promise<"ok" | "fenced" | "unknown"> {
    const value = encodeCursor({ version: 1, epoch: this.#epoch, ...position });
    const result = await this.#kv.update(this.#key, value, this.#revision);
    if (result.kind === "ok") {
      this.#revision = result.revision;
      return "ok";
    }
    try {
      const stored = await this.#kv.get(this.#key);
      if (stored === null || decodeCursor(stored.value).epoch !== this.#epoch) return "fenced";
      this.#revision = stored.revision; // my own write, its answer was lost
    } catch {
      // NATS is away: the next write tells
    }
    return "unknown";
  }
}
