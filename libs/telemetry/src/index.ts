/**
 * Traces, metrics and logs of every service. Owns every span, metric and attribute name; decides
 * at the edges what is sampled; exports traces by OTLP. Services see neither the SDK nor
 * prom-client.
 */
export * from "./logger.ts";
export * from "./metric-names.ts";
export * from "./metrics.ts";
export * from "./names.ts";
export { setSampleRatio, shouldSample } from "./sampling.ts";
export * from "./telemetry.ts";
export * from "./tracing.ts";
