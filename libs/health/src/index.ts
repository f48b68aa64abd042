/** Probes and metrics of a service over HTTP: /live, /ready, /metrics. */
export * from "./health.ts";
