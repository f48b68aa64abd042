/** Questions to a server on loopback: is it there, can it serve. Each answers within 2 s. */
import { connect } from "node:net";

const PATIENCE_MS = 2000;

/** Whether nats-server greets (its INFO line), which it does last in its start. */
export function natsGreets(port: number): Promise<boolean> {
  return probe(port, "data");
}

export function accepts(port: number): Promise<boolean> {
  return probe(port, "connect");
}

function probe(port: number, event: "data" | "connect"): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    const end = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(PATIENCE_MS, () => end(false));
    socket.once(event, () => end(true));
    socket.once("error", () => end(false));
    socket.once("close", () => end(false));
  });
}

/** @returns null when /ready says 200, else why not in one line */
export async function whyNotReady(healthPort: number): Promise<string | null> {
  try {
    const response = await fetch(`http://127.0.0.1:${healthPort}/ready`, { signal: AbortSignal.timeout(PATIENCE_MS) });
    const text = (await response.text()).trim();
    return response.status === 200 ? null : text || `status ${response.status}`;
  } catch {
    return "does not answer";
  }
}
