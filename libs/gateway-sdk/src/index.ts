/**
 * The SDK for gateway programs. Owns the gateway's MQTT connection and its journal (a directory of
 * its own). Speaks `{csgDown}/p2p/{Client ID}` down and `{csgUp}/{gateway}/r|p|s|h` up. When the
 * program dies, its next start tells the platform by hello what the journal holds.
 */
export { CommandFailed } from "./command-failed.ts";
export { GatewayClient, type GatewayOptions } from "./gateway-client.ts";
export { GatewayMachine, type MachineOptions } from "./gateway-machine.ts";
export type { GatewayInput, GatewayOutput, GatewayTurn, Outcome, Progress } from "./gateway-messages.ts";
export { type JournalEntry, JournalState } from "./journal-entries.ts";
export { JournalDamaged, JournalFile } from "./journal-file.ts";
export { type CrashPoint, JournaledRunner } from "./journaled-runner.ts";
export { handler, type MethodHandler, type RunContext } from "./method-handler.ts";
export { reconnectPauseMs } from "./reconnect-backoff.ts";
