import type { Config } from "@hawser/config";

/** The csg settings the machine reads, and its source of randomness (resend jitter). */
export interface MachineSettings
  extends Pick<
    Config["csg"],
    | "deliveryTimeoutMs"
    | "deliveryAttempts"
    | "acceptTimeoutMs"
    | "resendMinMs"
    | "resendMaxMs"
    | "stepTimeoutMs"
    | "inDoubtGraceMs"
    | "reconcileWindowMs"
    | "presenceGraceMs"
    | "retentionMs"
    | "maxQueued"
    | "queryLane"
    | "taskLane"
  > {
  /** Acknowledgements of results wait this long for a message down to ride on. */
  readonly ackDelayMs: number;
  /** After a connection was seen, requests wait this long for its hello. */
  readonly helloWaitMs: number;
  readonly random: () => number;
}

export function machineSettings(csg: Config["csg"], random: () => number = Math.random): MachineSettings {
  return { ...csg, ackDelayMs: 100, helloWaitMs: 5_000, random };
}
