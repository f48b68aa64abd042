import type { Bus } from "@hawser/bus";
import type { CatalogReader } from "@hawser/catalog";
import type { LogWriter } from "@hawser/log";
import type { MemberBoard, ShardCaller } from "@hawser/shards";
import type { Logger } from "@hawser/telemetry";
import type { InboundLimits } from "./inbound-message.ts";

/** What the consumers of inbound rules share. */
export interface InboundContext {
  readonly bus: Bus;
  readonly board: MemberBoard;
  readonly member: string;
  readonly catalog: CatalogReader;
  readonly writer: LogWriter;
  readonly sessions: ShardCaller;
  readonly callerOf: (service: string) => ShardCaller | undefined;
  readonly shards: number;
  readonly partitions: number;
  readonly limits: InboundLimits;
  readonly log: Logger;
  /** Of the envelopes this member makes, from 1. */
  readonly nextSequence: () => number;
  /** Connected, and heard itself lately: what it knows is current. */
  readonly mayAct: () => boolean;
}

/** Calls `act` as soon as the member may act. */
export function whenItMayAct({ mayAct }: Pick<InboundContext, "mayAct">, act: () => void): void {
  if (mayAct()) act();
  else setTimeout(whenItMayAct, RETRY_MS, { mayAct }, act);
}

const RETRY_MS = 100;
