/**
 * The life of a service's process, the same for every service: settings, log, traces, NATS, layout,
 * catalogue, probes, signals. Owns nothing of what the service does.
 */
export * from "./run-service.ts";
