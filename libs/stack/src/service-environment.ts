/** The environment of each service process, from the port plan and what the caller sets. */
import { join } from "node:path";
import { loadConfig, type ParsedSetting } from "@hawser/config";
import { HawserError } from "@hawser/errors";
import { cacheDir } from "./cache.ts";
import type { PortPlan } from "./port-plan.ts";
import type { TlsFiles } from "./tls-files.ts";

export type ServiceName = "ingress" | "session" | "router" | "csg-agent";

/** What up decides for every process itself. */
const DECIDED_HERE: Readonly<Record<string, string>> = {
  "nats.url": "up starts its own NATS",
  "member.name": "each process has its own",
  "health.port": "use --base-port",
  "mqtt.tcpPort": "use --base-port",
  "mqtt.tlsPort": "use --base-port",
  "csg.restPort": "use --base-port",
  "rocketmq.endpoints": "use --rocketmq",
};

export interface ServiceInstance {
  readonly service: ServiceName;
  readonly index: number;
  /** `ingress-0` */
  readonly name: string;
  readonly healthPort: number;
  readonly env: NodeJS.ProcessEnv;
}

export interface EnvironmentOptions {
  readonly plan: PortPlan;
  readonly tls: TlsFiles;
  readonly restToken: string;
  /** `host:port` of the proxy; empty = off. */
  readonly rocketmq: string;
  /** Settings of the stack that a caller may override. */
  readonly defaults: Readonly<Record<string, string>>;
  /** First the weakest. */
  readonly settings: readonly ParsedSetting[];
}

/** In the order in which they are started. @throws HawserError when a setting is not allowed, alone or together */
export function serviceInstances(options: EnvironmentOptions): ServiceInstance[] {
  for (const { key } of options.settings) {
    const why = DECIDED_HERE[key];
    if (why) throw new HawserError("HAWSER_E_CONFIG_BAD_VALUE", `${key} cannot be set here: ${why}`);
  }
  const { plan } = options;
  const instances = [
    ...plan.session.map(({ health }, index) => instance(options, "session", index, health, {})),
    ...plan.csgAgent.map(({ health, rest }, index) => instance(options, "csg-agent", index, health, { HAWSER_CSG_REST_PORT: `${rest}`, HAWSER_CSG_REST_TOKEN: options.restToken })),
    ...plan.ingress.map((ports, index) =>
      instance(options, "ingress", index, ports.health, {
        HAWSER_MQTT_TCP_PORT: `${ports.tcp}`,
        HAWSER_MQTT_TLS_PORT: `${ports.tls}`,
        HAWSER_TLS_CERT_FILE: options.tls.cert,
        HAWSER_TLS_KEY_FILE: options.tls.key,
      }),
    ),
    ...plan.router.map(({ health }, index) => instance(options, "router", index, health, {})),
  ];
  for (const { env } of instances) loadConfig(env);
  return instances;
}

function instance(options: EnvironmentOptions, service: ServiceName, index: number, healthPort: number, own: Record<string, string>): ServiceInstance {
  const name = `${service}-${index}`;
  return {
    service,
    index,
    name,
    healthPort,
    env: {
      ...inherited(),
      NODE_COMPILE_CACHE: join(cacheDir(), "compile-cache"),
      HAWSER_NATS_URL: `nats://127.0.0.1:${options.plan.nats}`,
      HAWSER_MEMBER_NAME: name,
      HAWSER_HEALTH_PORT: `${healthPort}`,
      HAWSER_ROCKETMQ_ENDPOINTS: options.rocketmq,
      ...options.defaults,
      ...own,
      ...Object.fromEntries(options.settings.map(({ env, value }) => [env, value])),
    },
  };
}

/** Settings reach a stack by --set alone, so that what it does does not depend on the shell it was started from. */
function inherited(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("HAWSER_") && name !== "POD_NAME" && !name.startsWith("VITEST")));
}
