/**
 * The catalogue: instances, groups, parent topics, rules and credentials. Validates a document,
 * publishes it as versioned records in the KV bucket `hawser-catalog`, and gives every service a
 * compiled local copy. When NATS dies the last copy stays in force; without a copy all is refused.
 */
export * from "./catalog-reader.ts";
export * from "./compiled-instance.ts";
export * from "./decide-connect.ts";
export { compileInstance } from "./instance-record.ts";
export * from "./publish-catalog.ts";
export type { CatalogDocument, Credential, InstanceRecord, Profile } from "./schema.ts";
export * from "./validate.ts";
