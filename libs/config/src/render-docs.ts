import { otherNames } from "./load-config.ts";
import { type SettingKey, settingKeys } from "./setting-keys.ts";

const HEAD = `# Configuration
Every setting of every service. This page is made from the schema by \`renderConfigurationDocs()\`
in libs/config; a test keeps it current.

A setting comes from, the first that has it wins:
1. the environment: \`HAWSER_\` and the key in upper snake case (\`mqtt.tcpPort\` is
   \`HAWSER_MQTT_TCP_PORT\`; an empty variable of a number counts as not set),
2. the YAML file named by \`HAWSER_CONFIG\` (\`mqtt: {tcpPort: 1883}\`),
3. the default below.

\`./hawser up --set KEY=VALUE\` sets it for all services of a local run. A name that is not a
setting, or a value that is not allowed, is refused at start with one line that says which and
what is allowed. Times end in \`Ms\` or \`Seconds\`, sizes in \`Bytes\`.
`;

/** docs/configuration.md */
export function renderConfigurationDocs(): string {
  const areas = new Map<string, SettingKey[]>();
  for (const setting of settingKeys()) {
    const area = setting.key.split(".")[0]!;
    areas.set(area, [...(areas.get(area) ?? []), setting]);
  }
  const sections = [...areas].map(([area, settings]) =>
    [`## ${area}`, "| key | environment | default | allowed | what it does |", "|---|---|---|---|---|", ...settings.map(row), ""].join("\n"),
  );
  const others = `## Names that are not settings\n${otherNames.map((name) => `\`${name}\``).join(", ")} belong to the launcher and the tests; services ignore them, and the\nvariables Kubernetes makes for Services. \`POD_NAME\` names the member when \`member.name\` is empty.\n`;
  return [HEAD, ...sections, others].join("\n");
}

function row(setting: SettingKey): string {
  const value = setting.default === "" ? "" : `\`${setting.default}\``;
  const what = setting.description + (setting.secret ? " Secret: never logged." : "");
  return `| \`${setting.key}\` | \`${setting.env}\` | ${value} | ${cell(setting.allowed)} | ${cell(what)} |`;
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}
