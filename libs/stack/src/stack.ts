/**
 * A whole Hawser on one machine: nats-server, RocketMQ, and one process per service instance, each
 * supervised. Start order: NATS and RocketMQ side by side; with NATS the catalogue, then session,
 * csg-agent and ingress; with RocketMQ the topics, then the routers. state.json appears when every
 * service is ready and is gone before anything is stopped.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { HawserError } from "@hawser/errors";
import { RocketMqAdmin } from "@hawser/rocketmq";
import { createTopicsAndGroups, defaultTopics } from "./default-catalog.ts";
import { CatalogInForce } from "./catalog-in-force.ts";
import { keptCredentials } from "./kept-credentials.ts";
import { lastWords } from "./last-words.ts";
import { lockHolder, tryLock, unlock } from "./lock.ts";
import { natsServerBinary } from "./nats-binary.ts";
import { renderNatsConfig } from "./nats-config.ts";
import { type ClaimedPorts, claimPorts, type PortPlan } from "./port-plan.ts";
import { accepts, natsGreets, whyNotReady } from "./probes.ts";
import { ROCKETMQ_READY, rocketMqCommand } from "./rocketmq-files.ts";
import { rocketMqBinary } from "./rocketmq-jars.ts";
import { readRunFile, runFilePath, stateFilePath, writeRunFile } from "./run-file.ts";
import { type ServiceInstance, serviceInstances, type ServiceName } from "./service-environment.ts";
import type { StackOptions } from "./stack-options.ts";
import { addressesOf, loopback, type StackAddresses, type StackCredentials, type StackState, stackState } from "./stack-state.ts";
import { SupervisedProcess } from "./supervised-process.ts";
import { type TlsFiles, writeTlsFiles } from "./tls-files.ts";
import { writeAtomically } from "./write-atomically.ts";

const ROOT = resolve(import.meta.dirname, "../../..");
const NATS_START_MS = 30_000;
const ROCKETMQ_START_MS = 180_000;
const SERVICES_START_MS = 120_000;
const DRAIN_PATIENCE_MS = 15_000;
/** RocketMQ takes 6 to 18 s to end in order; what it has is in the page cache before. */
const STORE_PATIENCE_MS = 5000;
/** A service that ends this often before it is ready will not become so. */
const HOPELESS_ENDS = 3;

export class Stack {
  readonly data: string;
  readonly #options: StackOptions;
  readonly #processes = new Map<string, SupervisedProcess>();
  readonly #healthPorts = new Map<string, number>();
  readonly #startedMs = Date.now();
  #ports: ClaimedPorts | undefined;
  #credentials!: StackCredentials;
  #addresses: StackAddresses = {};
  #catalog: CatalogInForce | undefined;
  #tls!: TlsFiles;
  #listening: ReadonlySet<number> = new Set();
  #ready = false;
  #stopping: Promise<void> | undefined;

  private constructor(options: StackOptions) {
    this.#options = options;
    this.data = resolve(options.data);
  }

  /**
   * Resolves when every service is ready.
   * @throws HawserError in one line; nothing is left running
   */
  static async start(options: StackOptions, signal?: AbortSignal): Promise<Stack> {
    const stack = new Stack(options);
    stack.#takeDirectory();
    const aborted = new Promise<never>((_, reject) => {
      const abort = (): void => reject(new HawserError("HAWSER_E_START", "stopped while starting"));
      if (signal?.aborted) abort();
      signal?.addEventListener("abort", abort, { once: true });
    });
    try {
      await Promise.race([stack.#start(), aborted]);
      return stack;
    } catch (error) {
      await stack.stop();
      throw error;
    }
  }

  /** What state.json says. */
  get state(): StackState {
    return stackState({
      pids: this.#pids(),
      plan: this.plan,
      listening: this.#listening,
      addresses: this.#addresses,
      ca: this.#tls.ca,
      instance: this.#catalog!.instance,
      credentials: this.#credentials,
    });
  }

  get plan(): PortPlan {
    return this.#ports!.plan;
  }

  /** @param name `ingress-0`, `csg-agent-1`, `nats`, `rocketmq` */
  process(name: string): SupervisedProcess {
    const found = this.#processes.get(name);
    if (!found) throw new Error(`there is no process ${name}; there are ${[...this.#processes.keys()].join(", ")}`);
    return found;
  }

  /** @returns null when the service can serve, else why not */
  whyNotReady(name: string): Promise<string | null> {
    return whyNotReady(this.#healthPorts.get(name)!);
  }

  /** Services first, then what they stand on. Never rejects; a second call waits for the first. */
  stop(): Promise<void> {
    return (this.#stopping ??= this.#stop());
  }

  /** Ends everything at once, for who cannot wait. */
  killAll(): void {
    for (const each of this.#processes.values()) void each.stop(0);
  }

  #takeDirectory(): void {
    mkdirSync(join(this.data, "logs"), { recursive: true });
    const holder = lockHolder(this.#lockPath);
    if (holder !== null || !tryLock(this.#lockPath)) throw new HawserError("HAWSER_E_START", `a stack runs in ${this.data} already (pid ${holder ?? readRunFile(this.data)?.pid ?? "?"}): use another --data, or stop it`);
    rmSync(stateFilePath(this.data), { force: true });
  }

  get #lockPath(): string {
    return join(this.data, "lock");
  }

  async #start(): Promise<void> {
    const { rocketmq, counts } = this.#options;
    const own = rocketmq.kind === "real";
    this.#ports = await claimPorts(this.#options.basePort, counts, own);
    this.#addresses = addressesOf(this.#options, this.plan);
    this.#credentials = keptCredentials(join(this.data, "credentials.json"));
    this.#tls = { ca: join(this.data, "tls/ca.pem"), cert: join(this.data, "tls/server.pem"), key: join(this.data, "tls/server-key.pem") };
    const instances = this.#instances(); // bad settings are told before anything is fetched or started
    await writeTlsFiles(join(this.data, "tls"));
    await Promise.all([natsServerBinary(), own ? rocketMqBinary() : undefined]);

    this.#say(own ? "starting NATS and RocketMQ" : "starting NATS");
    const rocketMqReady = own ? this.#startRocketMq() : Promise.resolve();
    rocketMqReady.catch(() => undefined); // awaited below, unless NATS fails first
    await this.#startNats();
    const catalog = { plain: this.#options.plain, rocketmq: rocketmq.kind !== "off", prefix: this.#options.prefix ?? "", ...this.#credentials };
    this.#catalog = await CatalogInForce.start(`nats://${loopback(this.plan.nats)}`, this.data, catalog, () => this.#writeFiles());
    for (const each of instances) if (each.service !== "router") this.#startService(each);
    await rocketMqReady;
    await this.#createTopics();
    for (const each of instances) if (each.service === "router") this.#startService(each);
    this.#say("waiting for the services");
    await Promise.all(instances.map((each) => this.#waitReady(each)));
    await this.#lookAtListeners();
    this.#ready = true;
    this.#writeFiles();
  }

  #instances(): ServiceInstance[] {
    const topics = defaultTopics(this.#options.prefix ?? "");
    return serviceInstances({
      plan: this.plan,
      tls: this.#tls,
      restToken: this.#credentials.restToken,
      rocketmq: this.#addresses.rocketmq ?? "",
      defaults: { HAWSER_CSG_REPLY_TOPIC: topics.csgReply, HAWSER_CSG_EVENT_TOPIC: topics.csgEvent },
      settings: this.#options.settings,
    });
  }

  async #startNats(): Promise<void> {
    const config = join(this.data, "nats.conf");
    writeFileSync(config, renderNatsConfig({ port: this.plan.nats, monitorPort: this.plan.natsMonitor, storeDir: join(this.data, "nats") }));
    const nats = this.#supervise("nats", { command: await natsServerBinary(), args: ["-c", config], cwd: this.data, env: process.env });
    await this.#until(NATS_START_MS, nats, () => natsGreets(this.plan.nats));
  }

  async #startRocketMq(): Promise<void> {
    const launch = rocketMqCommand(await rocketMqBinary(), join(this.data, "rocketmq"), this.plan.rocketmq);
    const rocketmq = this.#supervise("rocketmq", { ...launch, env: process.env });
    await this.#until(ROCKETMQ_START_MS, rocketmq, () => Promise.resolve(rocketmq.hasLogged(ROCKETMQ_READY)));
  }

  async #createTopics(): Promise<void> {
    if (!this.#addresses.brokerRemoting) return;
    const admin = await RocketMqAdmin.connect(this.#addresses.brokerRemoting);
    try {
      await createTopicsAndGroups(admin, this.#options.prefix ?? "");
    } finally {
      admin.close();
    }
  }

  #startService(each: ServiceInstance): void {
    this.#healthPorts.set(each.name, each.healthPort);
    const main = this.#options.entryPoint?.(each.service) ?? join(ROOT, "services", each.service, "src/main.ts");
    this.#supervise(each.name, { command: process.execPath, args: [main], cwd: this.data, env: each.env });
  }

  #supervise(name: string, launch: { command: string; args: readonly string[]; cwd: string; env: NodeJS.ProcessEnv }): SupervisedProcess {
    const supervised = new SupervisedProcess({ name, ...launch, logFile: join(this.data, "logs", `${name}.log`) }, () => this.#writeFiles());
    this.#processes.set(name, supervised);
    if (!this.#stopping) supervised.start();
    return supervised;
  }

  async #waitReady(each: ServiceInstance): Promise<void> {
    let reason: string | null = null;
    await this.#until(SERVICES_START_MS, this.process(each.name), async () => (reason = await whyNotReady(each.healthPort)) === null, () => reason);
  }

  async #until(timeoutMs: number, supervised: SupervisedProcess, ready: () => Promise<boolean>, why: () => string | null = () => null): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    const { name, logFile } = supervised.spec;
    while (!(await ready())) {
      if (this.#stopping) throw new HawserError("HAWSER_E_START", "stopped while starting");
      if (supervised.state === "waiting" && supervised.restarts + 1 >= HOPELESS_ENDS) throw new HawserError("HAWSER_E_START", `${name} does not start (${supervised.lastEnd}): ${lastWords(supervised)}; see ${logFile}`);
      if (Date.now() > deadline) throw new HawserError("HAWSER_E_START", `${name} is not ready after ${timeoutMs / 1000} s: ${why() ?? lastWords(supervised)}; see ${logFile}`);
      await sleep(100);
    }
  }

  async #lookAtListeners(): Promise<void> {
    const ports = this.plan.ingress.flatMap(({ tls, ws, wss }) => [tls, ws, wss]);
    const open = await Promise.all(ports.map((port) => accepts(port)));
    this.#listening = new Set(ports.filter((_, index) => open[index]));
  }

  #pids(): StackState["pids"] {
    const of = (service: ServiceName): number[] => [...this.#processes.values()].filter(({ spec }) => spec.name.replace(/-\d+$/, "") === service).map(({ pid }) => pid);
    const rocketmq = this.#processes.get("rocketmq")?.pid;
    return {
      nats: this.process("nats").pid,
      ...(rocketmq === undefined ? {} : { rocketmq }),
      ingress: of("ingress"),
      session: of("session"),
      router: of("router"),
      csgAgent: of("csg-agent"),
    };
  }

  #writeFiles(): void {
    if (this.#stopping) return;
    const processes = [...this.#processes.values()].map(({ spec, state, pid, restarts, lastEnd }) => ({ name: spec.name, state, pid, restarts, lastEnd, healthPort: this.#healthPorts.get(spec.name) ?? 0 }));
    writeRunFile(this.data, { pid: process.pid, startedMs: this.#startedMs, processes });
    if (this.#ready) writeAtomically(stateFilePath(this.data), `${JSON.stringify(this.state, null, 1)}\n`, 0o600);
  }

  async #stop(): Promise<void> {
    const hard = this.#options.throwAway === true;
    rmSync(stateFilePath(this.data), { force: true });
    await Promise.resolve(); // #stopping is set from here on
    const floor = new Set(["nats", "rocketmq"]);
    const stopAll = (pick: (name: string) => boolean, patienceMs: number): Promise<unknown> =>
      Promise.all([...this.#processes.values()].filter(({ spec }) => pick(spec.name)).map((each) => each.stop(hard ? 0 : patienceMs)));
    await stopAll((name) => name.startsWith("ingress"), DRAIN_PATIENCE_MS);
    await stopAll((name) => !floor.has(name), DRAIN_PATIENCE_MS);
    await this.#catalog?.stop();
    await stopAll(() => true, STORE_PATIENCE_MS);
    await this.#ports?.release();
    rmSync(stateFilePath(this.data), { force: true });
    rmSync(runFilePath(this.data), { force: true });
    unlock(this.#lockPath);
  }

  #say(line: string): void {
    this.#options.progress?.(line);
  }
}
