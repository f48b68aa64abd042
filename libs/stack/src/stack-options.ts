import type { ParsedSetting } from "@hawser/config";
import type { ServiceCounts } from "./port-plan.ts";
import type { ServiceName } from "./service-environment.ts";

export type RocketMqChoice =
  /** One of the stack's own. */
  | { readonly kind: "real" }
  | { readonly kind: "off" }
  /** Somebody else's. With the broker's remoting port known, topics and groups are created there. */
  | { readonly kind: "external"; readonly endpoint: string; readonly broker?: string; readonly namesrv?: string };

export interface StackOptions {
  /** Directory of all that the stack keeps: stores, logs, certificates, state.json. */
  readonly data: string;
  /** First of 200 ports; default a free block. */
  readonly basePort?: number;
  readonly counts: ServiceCounts;
  readonly rocketmq: RocketMqChoice;
  /** The default instance takes any Client ID, any topic, and nobody's password. */
  readonly plain: boolean;
  readonly settings: readonly ParsedSetting[];
  /** In front of the names of RocketMQ topics and groups. */
  readonly prefix?: string;
  /** End everything with SIGKILL: for stores that are thrown away. */
  readonly throwAway?: boolean;
  /** Entry point of a service; default the one in services/. */
  readonly entryPoint?: (service: ServiceName) => string;
  /** A line for who waits. */
  readonly progress?: (line: string) => void;
}

export const defaultCounts: ServiceCounts = { ingress: 1, session: 1, router: 1, csgAgent: 1 };
