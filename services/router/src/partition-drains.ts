/**
 * Everything one router does for one partition of the log while it owns it: a consumer with its
 * cursor per kind of destination, and the trimming of what all of them are done with.
 */
import type { Bus } from "@hawser/bus";
import { errorLine } from "@hawser/errors";
import { consumersOf, LogConsumer, trimLog } from "@hawser/log";
import type { MemberBoard } from "@hawser/shards";
import { gauge, type Logger, metricNames } from "@hawser/telemetry";
import type { Drain, DrainContext } from "./drain.ts";

export interface PartitionDrainsOptions {
  readonly bus: Bus;
  readonly board: MemberBoard;
  readonly partition: number;
  readonly epoch: number;
  readonly mayAct: () => boolean;
  /** By consumer name: `inbox`, `actor`, `rocketmq.<cluster>`. */
  readonly drains: ReadonlyMap<string, (context: DrainContext) => Drain>;
  readonly log: Logger;
}

interface Running {
  readonly name: string;
  readonly consumer: LogConsumer;
  readonly drain: Drain;
}

const TICK_MS = 200;
const TRIM_EVERY_TICKS = 5;
const START_RETRY_MS = 250;
const FINISH_MS = 2000;
const FINISH_POLL_MS = 10;

export class PartitionDrains {
  readonly #options: PartitionDrainsOptions;
  #running: Running[] = [];
  #timer: NodeJS.Timeout | null = null;
  readonly #ends: (() => void)[] = [];
  #ticks = 0;
  #trimmedTo = 0;
  #trimming = false;
  #others: readonly string[] = [];
  #stopped = false;

  constructor(options: PartitionDrainsOptions) {
    this.#options = options;
  }

  /** Tries until NATS gives the cursors, or until stop(). */
  async start(): Promise<void> {
    for (const [name, create] of this.#options.drains) {
      if (!(await this.#open(name, create))) return;
    }
    await this.#findOthers();
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  /**
   * Consumers that have begun and that this router does not run, a RocketMQ cluster it is not
   * configured for: what they have not seen is not trimmed. One that is gone for good holds the log
   * until its cursor is deleted, and says so.
   */
  async #findOthers(): Promise<void> {
    const { bus, partition, drains, log } = this.#options;
    while (!this.#stopped) {
      try {
        this.#others = (await consumersOf(bus, partition)).filter((name) => !drains.has(name));
        break;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, START_RETRY_MS));
      }
    }
    if (this.#others.length > 0) log.warn({ partition, consumers: this.#others }, "nobody drains the log for these consumers: it is not trimmed beyond their cursors");
  }

  async #open(name: string, create: (context: DrainContext) => Drain): Promise<boolean> {
    const { bus, board, partition, epoch, mayAct, log } = this.#options;
    while (!this.#stopped) {
      // a start that failed may have left a reader behind: every attempt has a consumer of its own
      const drain = create({ partition, mayAct, finished: (sequence) => consumer.done(sequence) });
      const consumer: LogConsumer = new LogConsumer({
        bus,
        name,
        partition,
        epoch,
        isAlive: (origin) => board.isAlive(origin),
        // what arrives while this ends is left to the next owner
        onEntry: (entry, sequence, late) => this.#stopped || drain.take(entry, sequence, late),
        onFenced: () => {
          log.warn({ consumer: name, partition, epoch }, "another router drains this partition");
          drain.stop();
        },
        onProblem: (problem) => log.warn({ consumer: name, partition, problem }, "log"),
      });
      try {
        if (!(await consumer.start())) {
          drain.stop();
          return false;
        }
      } catch (error) {
        drain.stop();
        log.warn({ consumer: name, partition, problem: errorLine(error) }, "the cursor cannot be read");
        await new Promise((resolve) => setTimeout(resolve, START_RETRY_MS));
        continue;
      }
      this.#running.push({ name, consumer, drain });
      this.#ends.push(gauge(metricNames.logLag, { consumer: name, partition: String(partition) }, () => consumer.lag.entries));
      return true;
    }
    return false;
  }

  positionOf(name: string): number {
    return this.#running.find((running) => running.name === name)?.consumer.position ?? 0;
  }

  /** What the drain "actor" has finished: who waits for the log to be drained looks at it. */
  #tick(): void {
    const { board, partition, mayAct } = this.#options;
    if (!mayAct()) return;
    board.setVersion(`actor.${partition}`, this.positionOf("actor"));
    if (++this.#ticks % TRIM_EVERY_TICKS === 0 && !this.#trimming) void this.#trim();
  }

  async #trim(): Promise<void> {
    const { bus, partition, drains } = this.#options;
    this.#trimming = true;
    try {
      this.#trimmedTo = await trimLog(bus, partition, [...drains.keys(), ...this.#others], this.#trimmedTo);
    } catch {
      // NATS is away: the next one trims
    } finally {
      this.#trimming = false;
    }
  }

  /** @param orderly finish what is on its way, for at most 2 s, and write the cursors; otherwise forget it */
  async stop(orderly: boolean): Promise<void> {
    this.#stopped = true;
    if (this.#timer) clearInterval(this.#timer);
    for (const end of this.#ends.splice(0)) end();
    const running = this.#running;
    this.#running = [];
    if (!orderly) for (const { drain } of running) drain.stop();
    const stopped = running.map(async ({ consumer, drain }) => {
      const deadline = performance.now() + (orderly ? FINISH_MS : 0);
      while (drain.open > 0 && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, FINISH_POLL_MS));
      drain.stop();
      await consumer.stop();
    });
    await Promise.all(stopped);
  }
}
