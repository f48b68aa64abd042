/** When the receiver of a FIFO group polls: a proxy of this test's own counts the polls, and answers none by itself. */
import { Server, ServerCredentials, type ServerDuplexStream, type ServerWritableStream } from "@grpc/grpc-js";
import { afterEach, expect, it } from "vitest";
import { RocketMqReceiver, type Settle } from "../src/index.ts";
import { bytesOf, definition, resource, service, status } from "./stubs.ts";

type Poll = ServerWritableStream<Buffer, Buffer>;
const OK = 20_000;
const asIs = (bytes: Buffer): Buffer => bytes;
const closers: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function startProxy(fifo: boolean): Promise<{ endpoints: string; polls: Poll[]; give(...bodies: string[]): void }> {
  const polls: Poll[] = [];
  const path = (method: string, responseStream: boolean, requestStream = false): object => ({
    path: `/apache.rocketmq.v2.MessagingService/${method}`,
    requestStream,
    responseStream,
    requestSerialize: asIs,
    requestDeserialize: asIs,
    responseSerialize: asIs,
    responseDeserialize: asIs,
  });
  const methods = {
    telemetry: path("Telemetry", true, true),
    receiveMessage: path("ReceiveMessage", true),
    ackMessage: path("AckMessage", false),
    notifyClientTermination: path("NotifyClientTermination", false),
  };
  const answer = (bytes: Buffer) => (_call: unknown, done: (error: null, bytes: Buffer) => void) => done(null, bytes);
  const server = new Server();
  server.addService(methods as never, {
    telemetry: (stream: ServerDuplexStream<Buffer, Buffer>) => {
      const settings = new definition["Settings"]().setSubscription(new definition["Subscription"]().setFifo(fifo));
      stream.on("data", () => stream.write(bytesOf(new service["TelemetryCommand"]().setSettings(settings))));
      stream.on("end", () => stream.end());
    },
    receiveMessage: (poll: Poll) => {
      polls.push(poll);
    },
    ackMessage: answer(bytesOf(new service["AckMessageResponse"]().setStatus(status(OK, "")))),
    notifyClientTermination: answer(bytesOf(new service["NotifyClientTerminationResponse"]().setStatus(status(OK, "")))),
  });
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) => (error ? reject(error) : resolve(bound))),
  );
  closers.push(() => server.forceShutdown());
  const give = (...bodies: string[]): void => {
    const poll = polls.shift()!;
    for (const body of bodies) {
      const system = new definition["SystemProperties"]().setMessageId(body).setReceiptHandle(`r${body}`).setMessageGroup("g");
      const message = new definition["Message"]().setTopic(resource("t")).setBody(Buffer.from(body)).setSystemProperties(system);
      poll.write(bytesOf(new service["ReceiveMessageResponse"]().setMessage(message)));
    }
    poll.write(bytesOf(new service["ReceiveMessageResponse"]().setStatus(status(OK, ""))));
    poll.end();
  };
  return { endpoints: `127.0.0.1:${port}`, polls, give };
}

/** @returns what settles the receives, in their order */
function receive(endpoints: string): Settle[] {
  const open: Settle[] = [];
  const receiver = new RocketMqReceiver({ endpoints, topic: "t", consumerGroup: "g", loops: 2, wholeGroups: true, onMessages: (_batch, settle) => void open.push(settle) });
  closers.unshift(() => receiver.stop(100));
  return open;
}

it("a poll of a FIFO group begins after each acknowledgement, although others wait, and they do not become many", async () => {
  const { endpoints, polls, give } = await startProxy(true);
  const open = receive(endpoints);
  await expect.poll(() => polls.length).toBe(2);
  for (let n = 0; n < 5; n++) {
    give(`${n}`);
    await expect.poll(() => open.length).toBe(n + 1);
    // the one that brought it is replaced only when fewer than the loops wait
    await expect.poll(() => polls.length).toBe(2);
    open[n]!(0, true);
    await expect.poll(() => polls.length).toBe(3);
  }
});

it("of another group the waiting ones are enough", async () => {
  const { endpoints, polls, give } = await startProxy(false);
  const open = receive(endpoints);
  await expect.poll(() => polls.length).toBe(2);
  give("0");
  await expect.poll(() => open.length).toBe(1);
  await expect.poll(() => polls.length).toBe(2);
  open[0]!(0, true);
  give("1");
  // the second is here: the acknowledgement of the first has long been answered
  await expect.poll(() => open.length).toBe(2);
  open[1]!(0, true);
  await expect.poll(() => polls.length).toBe(2);
});
