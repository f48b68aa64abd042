/** What a service counts, read from /metrics. */
import type { TestStack } from "@hawser/testkit";

export type MetricsService = "ingress" | "session" | "router" | "csgAgent";

/** Sum over every process of a service. @param labels only series with all of these */
export async function metric(stack: TestStack, service: MetricsService, name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
  const texts = await Promise.all(
    stack.state.endpoints.metrics[service].map(async (address) => (await fetch(`http://${address}/metrics`, { signal: AbortSignal.timeout(5000) })).text()),
  );
  let sum = 0;
  for (const line of texts.join("\n").split("\n")) {
    const match = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (!match || match[1] !== name) continue;
    if (Object.entries(labels).every(([key, value]) => (match[2] ?? "").includes(`${key}="${value}"`))) sum += Number(match[3]);
  }
  return sum;
}
