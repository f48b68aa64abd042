/**
 * A stack under load: publishers, persistent sessions, gateways with commands. What is promised to
 * them is recorded; what must hold of it, check-history.ts knows.
 */
import { Bus } from "@hawser/bus";
import { ShardDirectory } from "@hawser/shards";
import { startStack, type TestStack, type TestStackOptions } from "@hawser/testkit";
import { partitionOf, services, shardOf } from "@hawser/wire";
import { BusinessSide } from "../e2e/kit/business-side.ts";
import { clientIdOf } from "../e2e/kit/device.ts";
import { GatewayProgram } from "../e2e/kit/gateway-program.ts";
import { gatewayOnline } from "../e2e/kit/rest.ts";
import { until } from "../e2e/kit/until.ts";
import { checkHistory } from "./check-history.ts";
import { CommandLoad, runsOf } from "./command-load.ts";
import { startListingStore } from "./listing-store.ts";
import { SteadyPublisher, SteadySubscriber } from "./steady-clients.ts";

/** A long chaos in a short test: what waits for minutes by default waits for seconds. */
const SETTINGS = {
  "csg.acceptTimeoutMs": 2000,
  "csg.deliveryTimeoutMs": 2000,
  "csg.resendMinMs": 500,
  "csg.resendMaxMs": 2000,
  "csg.presenceGraceMs": 1000,
  "csg.inDoubtGraceMs": 2000,
  "session.inboxMaxMessages": 100_000,
  "rocketmq.invisibleMs": 10_000,
};
const PAGES = 4;
const AFTER_KILL_MS = 45_000;
const QUIET_MS = 60_000;

interface StageParts extends Pick<ChaosStage, "stack" | "gateways" | "publishers" | "subscribers" | "commands"> {
  readonly arrived: readonly { readonly body: Buffer }[];
  /** What the store has seen. */
  readonly begun: readonly string[];
  readonly directories: Readonly<Record<"session" | "csg" | "router", ShardDirectory>>;
  readonly ending: (() => Promise<unknown>)[];
}

export class ChaosStage {
  readonly stack: TestStack;
  readonly gateways: readonly GatewayProgram[];
  readonly publishers: readonly SteadyPublisher[];
  readonly subscribers: readonly SteadySubscriber[];
  readonly commands: CommandLoad;
  /** Milliseconds until everybody was served again. */
  readonly timings: Record<string, number> = {};
  readonly #parts: StageParts;

  private constructor(parts: StageParts) {
    this.#parts = parts;
    ({ stack: this.stack, gateways: this.gateways, publishers: this.publishers, subscribers: this.subscribers, commands: this.commands } = parts);
  }

  /** Resolves when everything is connected and the load runs. */
  static async start(options: TestStackOptions = {}): Promise<ChaosStage> {
    const ending: (() => Promise<unknown>)[] = [];
    try {
      return await ChaosStage.#start(options, ending);
    } catch (error) {
      for (const end of ending.reverse()) await end();
      throw error;
    }
  }

  static async #start(options: TestStackOptions, ending: (() => Promise<unknown>)[]): Promise<ChaosStage> {
    const store = await startListingStore(PAGES);
    ending.push(() => store.stop());
    const stack = await startStack({ ingress: 2, session: 2, router: 2, csgAgent: 2, ...options, settings: { ...SETTINGS, ...options.settings } });
    ending.push(() => stack.stop());
    const bus = await Bus.connect({ url: stack.natsUrl, name: "chaos" });
    ending.push(() => bus.close());
    const directoryOf = (service: string): ShardDirectory => new ShardDirectory({ bus, service });
    const directories = { session: directoryOf(services.session), csg: directoryOf(services.csg), router: directoryOf(services.router) };
    for (const each of Object.values(directories)) {
      await each.start();
      ending.push(async () => each.stop());
    }
    const business = new BusinessSide(stack);
    ending.push(() => business.stop());
    const arrived = business.listen(stack.topics.demo, stack.groups.appDemo);
    business.listenToReplies();
    const own = { store: store.access, env: { GATEWAY_S3_PAGE_PAUSE_MS: "100" } };
    const gateways = [0, 1, 2].map((at) => new GatewayProgram(stack, { device: `gw-${at}`, level: at === 1 ? 5 : 4, ingress: at % 2, ...own }).start());
    for (const gateway of gateways) ending.push(() => gateway.stop());
    for (const { device } of gateways) await gatewayOnline(stack, device);
    const subscribers = await Promise.all([4, 5].map((level) => new SteadySubscriber(stack, `keeper-${level}`, level as 4 | 5, "demo/chaos/#").start()));
    const publishers = [0, 1, 2, 3].map((at) => new SteadyPublisher(stack, `sender-${at}`, { level: at % 2 === 0 ? 4 : 5, everyMs: 50, topic: `demo/chaos/${at}`, ingress: at % 2 }));
    const commands = new CommandLoad(business, gateways.map(({ device }) => device), 150);
    return new ChaosStage({ stack, gateways, publishers, subscribers, commands, arrived, begun: store.begun, directories, ending });
  }

  /** Index of the process that owns what this client needs. */
  async ownerOf(service: "session" | "router", clientId: string): Promise<number>;
  async ownerOf(service: "csg", gateway: string): Promise<number>;
  async ownerOf(service: "session" | "router" | "csg", name: string): Promise<number> {
    const { instance } = this.stack.state;
    const shards = 64;
    const shard = service === "router" ? partitionOf(instance, name, 2) : shardOf(instance, service === "csg" ? clientIdOf(name, "GID_gateway") : name, shards);
    const directory = this.#parts.directories[service];
    const owner = await until(`an owner of ${service} ${shard}`, () => directory.owner(shard), (found) => found !== null);
    return Number(/-(\d+)_/.exec(owner!.member)![1]);
  }

  /**
   * Does something bad, and waits until everybody is served again: every publisher has been
   * acknowledged, every session has got, every gateway has answered something newer.
   */
  async survives(what: string, act: () => Promise<void>, timeoutMs = AFTER_KILL_MS): Promise<void> {
    const startedMs = Date.now();
    await act();
    const since = Date.now();
    const acknowledged = this.publishers.map((each) => each.acknowledged);
    const delivered = this.subscribers.map((each) => new Set(each.all()).size);
    const look = () => {
      const answered = new Set(this.commands.finals().map(({ id }) => id));
      return {
        publishersWaiting: this.publishers.filter((each, at) => each.acknowledged < acknowledged[at]! + 5).map(({ name }) => name),
        sessionsWaiting: this.subscribers.filter((each, at) => new Set(each.all()).size < delivered[at]! + 5).map(({ name }) => name),
        gatewaysWaiting: this.gateways.filter(({ device }) => !this.commands.sent.some(({ id, gateway, at }) => gateway === device && at > since && answered.has(id))).map(({ device }) => device),
      };
    };
    await until(`everybody served again after: ${what}`, look, (seen) => Object.values(seen).every((waiting) => waiting.length === 0), timeoutMs).catch((error: unknown) => {
      throw new Error(`${(error as Error).message}\n${this.#openCommands()}`);
    });
    await this.stack.untilReady();
    this.timings[what] = Date.now() - startedMs;
  }

  /** Ends the load, waits until everything promised has come, and says what does not hold. */
  async verdict(): Promise<string[]> {
    await this.commands.stop();
    await Promise.all(this.publishers.map((each) => each.stop()));
    const check = (): string[] => {
      const published = this.publishers.flatMap((each) => each.published);
      const arrived = this.#parts.arrived.map(({ body }) => body.toString());
      const rest = { published, arrived, commands: this.commands.sent, finals: this.commands.finals(), runs: runsOf(this.#parts.begun) };
      return [...new Set(this.subscribers.flatMap((each) => checkHistory({ ...rest, delivered: each.all() })))];
    };
    const missing = /has no final reply|is not in RocketMQ|never got it/;
    await until("everything promised", () => check().slice(0, 20), (violations) => !violations.some((each) => missing.test(each)), QUIET_MS).catch((error: unknown) => {
      throw new Error(`${(error as Error).message}\n${this.#openCommands()}`);
    });
    return check();
  }

  #openCommands(): string {
    return `open commands: ${JSON.stringify(this.commands.open().slice(0, 10))}`;
  }

  /** What happened, for who reads the test's output. */
  summary(): string {
    const published = this.publishers.flatMap((each) => each.published).length;
    const codes = Object.entries(Object.groupBy(this.commands.finals(), ({ code, reason }) => `${code}${reason ? ` / ${reason}` : ""}`)).map(([code, all]) => `${all!.length} ${code}`);
    const copies = this.subscribers.map((each) => each.all().length - new Set(each.all()).size);
    const times = Object.entries(this.timings).map(([what, ms]) => `${what} ${(ms / 1000).toFixed(1)} s`);
    const uplink = `${published} publishes, ${this.#parts.arrived.length} at RocketMQ, ${copies.join(" + ")} delivered again`;
    return `${uplink}; ${this.commands.sent.length} commands: ${codes.join(", ")}; served again after ${times.join(", ")}`;
  }

  async stop(): Promise<void> {
    await Promise.all(this.subscribers.map((each) => each.stop()));
    for (const end of this.#parts.ending.reverse()) await end();
  }
}
