/** The REST API of the csg-agent, as tests look at it. */
import type { TestStack } from "@hawser/testkit";
import { until } from "./until.ts";

export interface CommandView {
  readonly id: string;
  readonly state: string;
  readonly attempt: number;
  readonly history: readonly { readonly state: string; readonly at: number }[];
}

const FINAL = new Set(["SUCCEEDED", "FAILED", "REJECTED", "CANCELLED", "EXPIRED", "UNKNOWN"]);

async function get<T>(stack: TestStack, path: string): Promise<T | null> {
  const { endpoints, credentials } = stack.state;
  try {
    const response = await fetch(`http://${endpoints.rest}${path}`, { headers: { authorization: `Bearer ${credentials.restToken}` }, signal: AbortSignal.timeout(5000) });
    return response.ok ? ((await response.json()) as T) : null;
  } catch {
    return null;
  }
}

export function commandView(stack: TestStack, gateway: string, id: string): Promise<CommandView | null> {
  return get(stack, `/v1/commands/${id}?gateway=${encodeURIComponent(gateway)}`);
}

export function isFinal(view: CommandView | null): boolean {
  return view !== null && FINAL.has(view.state);
}

/** Waits until the gateway has said hello. */
export async function gatewayOnline(stack: TestStack, gateway: string, timeoutMs = 30_000): Promise<void> {
  const look = (): Promise<{ link?: { state: string }; state?: string } | null> => get(stack, `/v1/gateways/${encodeURIComponent(gateway)}`);
  await until(`${gateway} online`, look, (view) => (view?.link?.state ?? view?.state) === "online", timeoutMs);
}
