/**
 * The JSON Schema of the chart's values. Settings are checked with the services' own schema, so
 * that `helm install` refuses what a service would refuse; what the chart sets itself (ports,
 * secrets, names) is left out of it.
 */
import { configJsonSchema, settingKeys } from "@hawser/config";

type Schema = Record<string, unknown>;

/** Settings the templates set: a value for them would be overruled or would break a probe. */
const ownedByChart = /^(member\..*|tls\..*|health\..*|mqtt\.(host|tcpPort|tlsPort)|csg\.rest(Host|Port|Token)|rocketmq\.(accessKey|secretKey))$/;

function settings(): Schema {
  const areas = (configJsonSchema() as { properties: Record<string, { properties: Record<string, Schema> }> }).properties;
  const kept = Object.entries(areas).flatMap(([area, { properties }]): [string, Schema][] => {
    const leaves = Object.entries(properties).filter(([name]) => !ownedByChart.test(`${area}.${name}`));
    return leaves.length === 0 ? [] : [[area, object(Object.fromEntries(leaves.map(([name, leaf]) => [name, settingLeaf(`${area}.${name}`, leaf)])))]];
  });
  return object(Object.fromEntries(kept));
}

function settingLeaf(key: string, leaf: Schema): Schema {
  const { form, secret, default: value, ...rest } = leaf;
  const joined = settingKeys().find((setting) => setting.key === key)?.allowed === "texts separated by commas";
  return joined ? { ...rest, type: ["string", "array"], items: { type: "string" } } : rest;
}

function object(properties: Record<string, Schema>, required: string[] = []): Schema {
  return { type: "object", additionalProperties: false, properties, ...(required.length > 0 && { required }) };
}

const string: Schema = { type: "string" };
const boolean: Schema = { type: "boolean" };
const freeObject: Schema = { type: "object" };
const freeList: Schema = { type: "array", items: { type: "object" } };
const texts: Schema = { type: "object", additionalProperties: { type: "string" } };
const count = (minimum: number, maximum: number): Schema => ({ type: "integer", minimum, maximum });
const portNumber = count(1, 65_535);
const quantity: Schema = { type: ["string", "number"], pattern: "^[0-9.]+[a-zA-Z]*$" };
const memory: Schema = { type: "string", pattern: "^[0-9]+(\\.[0-9]+)?(Mi|Gi)$" };
const secretName: Schema = { type: "string", pattern: "^([a-z0-9]([-.a-z0-9]*[a-z0-9])?)?$" };

const common: Record<string, Schema> = {
  replicas: count(0, 1000),
  settings: { $ref: "#/$defs/settings" },
  resources: object({ requests: object({ cpu: quantity, memory }), limits: object({ cpu: quantity, memory }, ["memory"]) }, ["limits"]),
  extraEnv: { type: "array", items: { type: "object", required: ["name"], properties: { name: { type: "string", not: { pattern: "^HAWSER_" } } } } },
  extraVolumes: freeList,
  extraVolumeMounts: freeList,
  podAnnotations: texts,
  podLabels: texts,
  nodeSelector: texts,
  tolerations: freeList,
  affinity: freeObject,
  topologySpread: { enum: ["ScheduleAnyway", "DoNotSchedule"] },
  priorityClassName: string,
  pdb: object({ enabled: boolean, maxUnavailable: { type: ["integer", "string"] } }),
  preStopSeconds: count(0, 600),
  drainSeconds: count(1, 3600),
};
const serviceType: Schema = { enum: ["ClusterIP", "NodePort", "LoadBalancer"] };

export function valuesSchema(): Schema {
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "Values of the Hawser chart; made by test/charts/values-schema.ts",
    ...object({
      global: freeObject,
      nameOverride: string,
      fullnameOverride: string,
      image: object({
        repository: { type: "string", minLength: 1 },
        tag: { type: "string", not: { const: "latest" } },
        digest: { type: "string", pattern: "^(sha256:[0-9a-f]{64})?$" },
        pullPolicy: { enum: ["Always", "IfNotPresent", "Never"] },
      }),
      imagePullSecrets: freeList,
      settings: { $ref: "#/$defs/settings" },
      secrets: object({
        rocketmq: object({ existingSecret: secretName, accessKeyKey: string, secretKeyKey: string }),
        csgRest: object({ existingSecret: secretName, tokenKey: string }),
      }),
      catalog: object({ existingSecret: secretName, key: { type: "string", pattern: "^[-._a-zA-Z0-9]+$" } }),
      serviceAccount: object({ create: boolean, name: string, annotations: texts }),
      ingress: object({
        ...common,
        service: object({
          type: serviceType,
          externalTrafficPolicy: { enum: ["Local", "Cluster"] },
          annotations: texts,
          ports: object({ mqtt: portNumber, mqtts: portNumber }),
        }),
        tls: object({ existingSecret: secretName }),
      }),
      session: object(common),
      router: object(common),
      csgAgent: object({ ...common, service: object({ type: serviceType, annotations: texts, ports: object({ rest: portNumber }) }) }),
    }),
    $defs: { settings: settings() },
  };
}
