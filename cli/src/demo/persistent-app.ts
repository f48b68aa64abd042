/** An app with a persistent session: it subscribes, leaves, and finds its messages when it returns. */
import { createHmac } from "node:crypto";
import type { StackState } from "@hawser/stack";
import { connectAsync, type MqttClient } from "mqtt";

export interface PersistentOutcome {
  readonly published: number;
  readonly found: number;
  readonly sessionPresent: boolean;
  readonly inOrder: boolean;
}

const MESSAGES = 5;
const WAIT_MS = 10_000;

export async function runPersistentApp(state: StackState): Promise<PersistentOutcome> {
  const [first, second] = [state.endpoints.mqtt[0]!, state.endpoints.mqtt.at(-1)!];
  const app = await connect(state, first.tcp, "app-1", false);
  await app.subscribeAsync("demo/room/7", { qos: 1 });
  await app.endAsync();
  const sender = await connect(state, first.tcp, "app-2", true);
  for (let number = 1; number <= MESSAGES; number++) await sender.publishAsync("demo/room/7", `message ${number}`, { qos: 1 });
  await sender.endAsync();

  const got: string[] = [];
  let sessionPresent = false;
  // through the other ingress: a session belongs to no process
  const returned = await connect(state, second.tcp, "app-1", false, (client) => {
    client.on("connect", (packet) => (sessionPresent = packet.sessionPresent));
    client.on("message", (_, payload) => got.push(payload.toString()));
  });
  const deadline = Date.now() + WAIT_MS;
  while (new Set(got).size < MESSAGES && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 20));
  await returned.endAsync();
  const distinct = [...new Set(got)];
  return {
    published: MESSAGES,
    found: distinct.length,
    sessionPresent,
    inOrder: distinct.every((text, at) => text === `message ${at + 1}`),
  };
}

async function connect(state: StackState, address: string, device: string, clean: boolean, before?: (client: MqttClient) => void): Promise<MqttClient> {
  const clientId = `GID_demo@@@${device}`;
  const { accessKeyId, accessKeySecret } = state.credentials;
  const { default: mqtt } = await import("mqtt");
  const options = {
    clientId,
    username: `Signature|${accessKeyId}|${state.instance}`,
    password: createHmac("sha1", accessKeySecret).update(clientId).digest("base64"),
    clean,
    reconnectPeriod: 0,
  };
  if (!before) return connectAsync(`mqtt://${address}`, options);
  // listeners first: stored messages may follow CONNACK in the same packet
  const client = mqtt.connect(`mqtt://${address}`, options);
  before(client);
  await new Promise<void>((resolve, reject) => {
    client.once("connect", () => resolve());
    client.once("error", reject);
  });
  return client;
}
