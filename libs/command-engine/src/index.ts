/**
 * The command engine of one gateway: states, lanes, retries, deadlines, idempotent ids, the outbox.
 * A pure machine over its own state: the csg-agent gives it messages and time, stores what it wants
 * stored and does what it asks for. Simulated against the gateway's own machine, with loss and crashes.
 */
export * from "./command-machine.ts";
export type { CommandView } from "./command.ts";
export { createGateway, type GatewayState } from "./gateway-state.ts";
export * from "./machine-messages.ts";
export * from "./machine-settings.ts";
