/**
 * Configuration of a small RocketMQ: name server, broker and proxy in one JVM. HA and the proxy's
 * two ports bind every address whatever one writes; the rest is on loopback.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { RocketMqBinary } from "./rocketmq-jars.ts";

/** First of a block; the others are at fixed distances. */
export interface RocketMqPorts {
  readonly namesrv: number;
  readonly broker: number;
  readonly brokerFast: number;
  readonly ha: number;
  readonly grpc: number;
  readonly proxyRemoting: number;
}

/** @param base first port of a block of 22 */
export function rocketMqPorts(base: number): RocketMqPorts {
  return { namesrv: base, brokerFast: base + 8, broker: base + 10, ha: base + 11, grpc: base + 20, proxyRemoting: base + 21 };
}

export interface LaunchCommand {
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
}

/** The line on stdout after which the proxy serves; its ports open seconds before. */
export const ROCKETMQ_READY = "rocketmq-proxy startup successfully";

const HEAP = "384m";

/** Writes the files into the directory, which becomes the home of all that RocketMQ keeps. */
export function rocketMqCommand(binary: RocketMqBinary, directory: string, ports: RocketMqPorts): LaunchCommand {
  const conf = join(directory, "conf");
  mkdirSync(conf, { recursive: true });
  mkdirSync(join(directory, "store"), { recursive: true });
  const files = { namesrv: join(conf, "namesrv.conf"), broker: join(conf, "broker.conf"), proxy: join(conf, "rmq-proxy.json") };
  writeFileSync(files.namesrv, properties({ listenPort: ports.namesrv, bindAddress: "127.0.0.1", kvConfigPath: join(directory, "kvConfig.json") }));
  writeFileSync(
    files.broker,
    properties({
      brokerClusterName: "DefaultCluster",
      brokerName: "broker-a",
      brokerId: 0,
      brokerIP1: "127.0.0.1",
      bindAddress: "127.0.0.1",
      listenPort: ports.broker,
      haListenPort: ports.ha,
      storePathRootDir: join(directory, "store"),
      storePathCommitLog: join(directory, "store", "commitlog"),
      autoCreateTopicEnable: false,
      autoCreateSubscriptionGroup: false,
      enableMixedMessageType: true,
      flushDiskType: "ASYNC_FLUSH",
      mappedFileSizeCommitLog: 64 * 1024 * 1024,
      mappedFileSizeConsumeQueue: 600_000,
      maxHashSlotNum: 50_000,
      maxIndexNum: 200_000,
      timerWheelEnable: true,
      diskMaxUsedSpaceRatio: 98,
    }),
  );
  writeFileSync(
    files.proxy,
    JSON.stringify({
      rocketMQClusterName: "DefaultCluster",
      proxyName: "local",
      grpcServerPort: ports.grpc,
      remotingListenPort: ports.proxyRemoting,
      localServeAddr: "127.0.0.1",
      grpcShutdownTimeSeconds: 2,
      // a topic made after it was asked for is found after a second instead of 20
      topicRouteServiceCacheRefreshSeconds: 1,
    }),
  );
  return { command: binary.java, args: [...jvmFlags(directory), "-cp", binary.classPath, binary.mainClass, `127.0.0.1:${ports.namesrv}`, files.namesrv, files.broker, files.proxy], cwd: directory };
}

function jvmFlags(directory: string): string[] {
  return [
    `-Xms${HEAP}`,
    `-Xmx${HEAP}`,
    "-XX:MaxDirectMemorySize=256m",
    "-XX:+UseSerialGC",
    "-XX:-UsePerfData",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.net.preferIPv4Stack=true",
    `-Duser.home=${directory}`,
    `-Drocketmq.home.dir=${directory}`,
    `-DRMQ_PROXY_HOME=${directory}`,
    "-Drocketmq.broker.diskSpaceWarningLevelRatio=0.98",
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
    "--add-exports=java.base/jdk.internal.ref=ALL-UNNAMED",
  ];
}

function properties(values: Readonly<Record<string, string | number | boolean>>): string {
  return Object.entries(values)
    .map(([key, value]) => `${key}=${value}\n`)
    .join("");
}
