export * from "./admin.ts";
export type { RocketMqCredentials } from "./metadata.ts";
