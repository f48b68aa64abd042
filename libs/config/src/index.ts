/**
 * The settings of all services: one schema, read from the environment and a YAML file, refused
 * when a key or a value is not known. Owns every HAWSER_ name; reads the file and nothing else.
 */
export { bootName } from "./boot-name.ts";
export { type Environment, loadConfig, type LoadOptions, otherNames, redactedConfig } from "./load-config.ts";
export { type ParsedSetting, parseSetting } from "./parse-setting.ts";
export { renderConfigurationDocs } from "./render-docs.ts";
export { type Config, configSchema } from "./schema.ts";
export { configJsonSchema, envOfKey, findSetting, type SettingKey, settingKeys } from "./setting-keys.ts";
