/** The two sides of the gateway's machine: what it is told, and what it wants done. */
import type { CommandError, DownlinkMessage, UplinkMessage } from "@hawser/csg-protocol";
import type { JournalEntry } from "./journal-entries.ts";

export interface Progress {
  /** Per cent, 0 to 100. */
  readonly pct?: number;
  /** A change of stage is sent at once, everything else at most once per second. */
  readonly stage?: string;
  readonly msg?: string;
  readonly counters?: Readonly<Record<string, number>>;
}

export type Outcome = { readonly result: unknown } | { readonly error: CommandError };

export type GatewayInput =
  | { readonly kind: "boot" }
  | { readonly kind: "connected" }
  | { readonly kind: "disconnected" }
  | { readonly kind: "down"; readonly message: DownlinkMessage }
  | { readonly kind: "progress"; readonly id: string; readonly progress: Progress }
  | { readonly kind: "finished"; readonly id: string; readonly outcome: Outcome }
  | { readonly kind: "tick" };

export type GatewayOutput =
  | { readonly kind: "send"; readonly message: UplinkMessage; readonly qos: 0 | 1 }
  | { readonly kind: "run"; readonly id: string; readonly method: string; readonly params: unknown; readonly attempt: number; readonly traceparent: string }
  | { readonly kind: "abort"; readonly id: string; readonly reason: string };

/** `entries` must be on disk (synced, if `sync`) before the first of `outputs` happens. */
export interface GatewayTurn {
  readonly entries: readonly JournalEntry[];
  readonly sync: boolean;
  readonly outputs: readonly GatewayOutput[];
}
