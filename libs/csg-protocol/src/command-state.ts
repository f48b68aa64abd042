/** States of a command, in the order a command passes through them. */
export const commandStates = [
  "QUEUED",
  "SENT",
  "DELIVERED",
  "ACCEPTED",
  "RUNNING",
  "IN_DOUBT",
  "SUCCEEDED",
  "FAILED",
  "REJECTED",
  "CANCELLED",
  "EXPIRED",
  "UNKNOWN",
] as const;
export type CommandState = (typeof commandStates)[number];

const finals: ReadonlySet<CommandState> = new Set(["SUCCEEDED", "FAILED", "REJECTED", "CANCELLED", "EXPIRED", "UNKNOWN"]);

export function isFinal(state: CommandState): boolean {
  return finals.has(state);
}

/** Transitions go forward by rank only; a later state may arrive first. */
export function rankOf(state: CommandState): number {
  return commandStates.indexOf(state);
}
