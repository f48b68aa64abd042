/** The Helm chart: linted, rendered, and every rendered environment read by the services' own loader. */
import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { promisify } from "node:util";
import { type Config, loadConfig } from "@hawser/config";
import { describe, expect, test } from "vitest";
import { parseAllDocuments, parse as parseYaml } from "yaml";
import { findHelm } from "./helm-binary.ts";
import { valuesSchema } from "./values-schema.ts";

const root = resolve(import.meta.dirname, "../..");
const chart = resolve(root, "charts/hawser");
const helm = await findHelm();
const helmTest = "path" in helm ? test : test.skip;
if ("missing" in helm) console.log(`chart tests are skipped: ${helm.missing}`);
const run = promisify(execFile);

type Manifest = any;

async function callHelm(...args: string[]): Promise<string> {
  if (!("path" in helm)) throw new Error(helm.missing);
  return (await run(helm.path, args, { maxBuffer: 16 * 1024 * 1024 })).stdout;
}

async function render(...args: string[]): Promise<Manifest[]> {
  const text = await callHelm("template", "rel", chart, "--namespace", "ns", ...args);
  return parseAllDocuments(text).map((document) => document.toJS() as Manifest).filter(Boolean);
}

const valuesFile = (name: string): string[] => (name === "default" ? [] : ["-f", resolve(chart, "ci", `${name}-values.yaml`)]);
const cases = ["default", "small", "full"];
const components = ["ingress", "session", "router", "csg-agent"];

function byKind(manifests: Manifest[], kind: string): Manifest[] {
  return manifests.filter((manifest) => manifest.kind === kind);
}

function containerOf(deployment: Manifest): Manifest {
  return deployment.spec.template.spec.containers[0];
}

/** What the process would find in its environment; values of Secrets as text of their name. */
function environmentOf(container: Manifest): Record<string, string> {
  return Object.fromEntries(
    container.env.map((entry: Manifest) => [entry.name, entry.valueFrom?.secretKeyRef ? `${entry.valueFrom.secretKeyRef.name}/${entry.valueFrom.secretKeyRef.key}` : (entry.value ?? "rel-hawser-x-0")]),
  );
}

function configOf(manifests: Manifest[], component: string): Config {
  const deployment = byKind(manifests, "Deployment").find((each) => each.metadata.labels["app.kubernetes.io/component"] === component);
  return loadConfig(environmentOf(containerOf(deployment)));
}

test("values.schema.json is what values-schema.ts says; `vitest run test/charts -u` writes it", async () => {
  await expect(`${JSON.stringify(valuesSchema(), null, 2)}\n`).toMatchFileSnapshot(resolve(chart, "values.schema.json"));
});

test("the README names every value", () => {
  const readme = readFileSync(resolve(chart, "README.md"), "utf8");
  const values = parseYaml(readFileSync(resolve(chart, "values.yaml"), "utf8")) as Record<string, unknown>;
  const names = [...Object.keys(values), ...Object.keys(values["ingress"] as object)];
  expect(names.filter((name) => !readme.includes(`\`${name}`) && !readme.includes(`.${name}\``))).toEqual([]);
});

describe("helm", () => {
  helmTest.each(cases)("lints the chart with %s values, strictly", async (name) => {
    expect(await callHelm("lint", "--strict", chart, ...valuesFile(name))).toContain("0 chart(s) failed");
  });

  helmTest.each<[string, string]>([
    ["settings.mqtt.tcpPort=1", "tcpPort"],
    ["settings.mqtt.maxPayloadBites=1", "maxPayloadBites"],
    ["settings.logging.level=loud", "level"],
    ["settings.layout.shards=0", "shards"],
    ["settings.telemetry.otlpEndpoint=jaeger:4318", "otlpEndpoint"],
    ["session.settings.csg.restToken=hush", "restToken"],
    ["ingress.replica=3", "replica"],
    ["image.tag=latest", "tag"],
    ["ingress.service.type=External", "type"],
    ["router.resources.limits.memory=512M", "memory"],
    ["csgAgent.service.ports.rest=0", "rest"],
  ])("refuses %s", async (assignment, where) => {
    const refusal = await render("--set", assignment).then(
      () => "accepted",
      (error: Error & { stderr?: string }) => error.stderr ?? error.message,
    );
    expect(refusal).toMatch(/values don't meet the specifications|validation/);
    expect(refusal).toContain(where);
  });

  helmTest("refuses variables that would bypass the schema", async () => {
    await expect(render("--set", "session.extraEnv[0].name=HAWSER_X")).rejects.toThrow(/extraEnv/);
  });
});

describe.each(cases)("rendered with %s values", (name) => {
  helmTest("each service is a deployment whose environment its own loader takes", async () => {
    const manifests = await render(...valuesFile(name));
    expect(byKind(manifests, "Deployment").map((each) => each.metadata.labels["app.kubernetes.io/component"]).sort()).toEqual([...components].sort());
    for (const component of components) {
      const config = configOf(manifests, component);
      expect(config.health).toEqual({ host: "0.0.0.0", port: 8080 });
      expect(config.member.name).toBe("rel-hawser-x-0");
    }
    const job = byKind(manifests, "Job")[0];
    if (job) loadConfig(environmentOf(containerOf(job)));
  });

  helmTest("each entry point is a file of the image", async () => {
    for (const deployment of byKind(await render(...valuesFile(name)), "Deployment")) {
      const [program, entry] = containerOf(deployment).command;
      expect([program, entry]).toEqual(["node", `services/${deployment.metadata.labels["app.kubernetes.io/component"]}/src/main.ts`]);
      expect(existsSync(resolve(root, entry)), entry).toBe(true);
    }
  });

  helmTest("every pod is restricted, and its probes tell live from ready", async () => {
    const manifests = await render(...valuesFile(name));
    for (const workload of [...byKind(manifests, "Deployment"), ...byKind(manifests, "Job")]) {
      const pod = workload.spec.template.spec;
      expect(pod).toMatchObject({ automountServiceAccountToken: false, enableServiceLinks: false, securityContext: { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } } });
      const container = pod.containers[0];
      expect(container.securityContext).toEqual({ allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ["ALL"] } });
      expect(container.resources).toMatchObject({ requests: { cpu: expect.anything(), memory: expect.anything() }, limits: { memory: expect.anything() } });
      expect(container.image).not.toMatch(/:latest$/);
      expect(container.image).toMatch(/[:@]/);
      if (workload.kind === "Job") continue;
      expect([container.livenessProbe.httpGet.path, container.readinessProbe.httpGet.path, container.startupProbe.httpGet.path]).toEqual(["/live", "/ready", "/live"]);
    }
  });

  helmTest("selectors find the pods, of deployments, services and disruption budgets", async () => {
    const manifests = await render(...valuesFile(name));
    const pods = byKind(manifests, "Deployment").map((each) => each.spec.template.metadata.labels as Record<string, string>);
    const selectors = [
      ...byKind(manifests, "Deployment").map((each) => each.spec.selector.matchLabels),
      ...byKind(manifests, "PodDisruptionBudget").map((each) => each.spec.selector.matchLabels),
      ...byKind(manifests, "Service").map((each) => each.spec.selector),
    ] as Record<string, string>[];
    expect(selectors.length).toBeGreaterThanOrEqual(9);
    for (const selector of selectors) expect(pods.filter((labels) => Object.entries(selector).every(([key, value]) => labels[key] === value))).toHaveLength(1);
  });

  helmTest("services reach ports that are there", async () => {
    const manifests = await render(...valuesFile(name));
    for (const service of byKind(manifests, "Service")) {
      const deployment = byKind(manifests, "Deployment").find((each) => each.metadata.name === service.metadata.name);
      const ports = containerOf(deployment).ports.map((port: Manifest) => port.name);
      for (const port of service.spec.ports) expect(ports).toContain(port.targetPort);
    }
  });

  helmTest("a pod has time to stop: preStop, draining and some room", async () => {
    for (const deployment of byKind(await render(...valuesFile(name)), "Deployment")) {
      const pod = deployment.spec.template.spec;
      const preStop = containerOf(deployment).lifecycle?.preStop.sleep.seconds ?? 0;
      expect(pod.terminationGracePeriodSeconds).toBeGreaterThanOrEqual(preStop + 30);
    }
  });

  helmTest("Node's heap stays below the limit of memory", async () => {
    for (const deployment of byKind(await render(...valuesFile(name)), "Deployment")) {
      const container = containerOf(deployment);
      const heapMiB = Number(/--max-old-space-size=(\d+)$/.exec(environmentOf(container)["NODE_OPTIONS"]!)![1]);
      const [, number, unit] = /^([\d.]+)(Mi|Gi)$/.exec(container.resources.limits.memory)!;
      const limitMiB = Number(number) * (unit === "Gi" ? 1024 : 1);
      expect(heapMiB / limitMiB).toBeCloseTo(0.75, 2);
    }
  });
});

describe("what is switched on", () => {
  helmTest("reaches the services", async () => {
    const manifests = await render(...valuesFile("full"));
    const ingress = configOf(manifests, "ingress");
    expect(ingress.mqtt).toMatchObject({ host: "0.0.0.0", tcpPort: 1883, tlsPort: 8883, maxConnections: 50_000 });
    expect(ingress).toMatchObject({ tls: { certFile: "/tls/tls.crt", keyFile: "/tls/tls.key" }, logging: { level: "debug" }, log: { maxBytes: 1_073_741_824 }, telemetry: { sampleRatio: 0.00001 }, plain: { denySubscribe: ["#", "$SYS/#"] } });
    expect(configOf(manifests, "session")).toMatchObject({ mqtt: { maxConnections: 1_000_000 }, logging: { level: "info" }, nats: { replicas: 3 } });
    expect(configOf(manifests, "router").rocketmq).toMatchObject({ endpoints: "rocketmq-proxy:8081", batchMessages: 256, accessKey: "rocketmq-keys/accessKey", secretKey: "rocketmq-keys/secretKey" });
    expect(configOf(manifests, "csg-agent").csg).toMatchObject({ restHost: "0.0.0.0", restPort: 8090, restToken: "csg-token/bearer" });
    expect(configOf(manifests, "ingress").rocketmq).toMatchObject({ accessKey: "", secretKey: "" });

    const deployment = byKind(manifests, "Deployment").find((each) => each.metadata.name === "edge-ingress");
    expect(deployment.spec.replicas).toBe(4);
    expect(containerOf(deployment).image).toMatch(/^registry.example.org\/hawser@sha256:0+$/);
    expect(deployment.spec.template.spec).toMatchObject({
      serviceAccountName: "edge-account",
      imagePullSecrets: [{ name: "pull" }],
      nodeSelector: { disk: "fast" },
      priorityClassName: "high",
      volumes: [{ name: "tls", secret: { secretName: "mqtt-tls" } }, { name: "extra", emptyDir: {} }],
    });
    const service = byKind(manifests, "Service").find((each) => each.metadata.name === "edge-ingress");
    expect(service.spec).toMatchObject({ type: "LoadBalancer", externalTrafficPolicy: "Local" });
    expect(service.spec.ports.map((port: Manifest) => [port.name, port.port])).toEqual([
      ["mqtt", 11_883],
      ["mqtts", 8883],
    ]);
    expect(byKind(manifests, "PodDisruptionBudget").map((each) => each.metadata.name)).not.toContain("edge-session");
  });

  helmTest("no secret is written into a manifest", async () => {
    const manifests = await render(...valuesFile("full"));
    expect(byKind(manifests, "Secret")).toEqual([]);
  });

  helmTest("an older Kubernetes waits by a command, a newer one by itself", async () => {
    const preStop = async (version: string): Promise<unknown> => {
      const deployment = byKind(await render("--kube-version", version), "Deployment").find((each) => each.metadata.name === "rel-hawser-ingress");
      return containerOf(deployment).lifecycle.preStop;
    };
    expect(await preStop("1.29.3")).toEqual({ exec: { command: ["sleep", "10"] } });
    expect(await preStop("1.34.0")).toEqual({ sleep: { seconds: 10 } });
  });
});
