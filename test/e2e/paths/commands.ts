/** Commands from RocketMQ to the reference gateway and back, good ones and bad ones. */
import { randomUUID } from "node:crypto";
import { newUuidV7 } from "@hawser/csg-protocol";
import { expect, it } from "vitest";
import type { Order } from "../kit/business-side.ts";
import { clientIdOf, Device } from "../kit/device.ts";
import { metric } from "../kit/metrics.ts";
import { commandView, gatewayOnline } from "../kit/rest.ts";
import { until } from "../kit/until.ts";
import type { PartsNow } from "./parts.ts";

interface BadCommand {
  readonly what: string;
  readonly order: Omit<Order, "id" | "gateway"> & { readonly gateway?: string };
  readonly code: string;
  readonly reason: string;
  readonly status: number;
}

export function commandPaths(parts: PartsNow): void {
  const sent = async (order: Omit<Order, "id">): Promise<string> => {
    const id = newUuidV7();
    await parts().business.command({ ...order, id });
    return id;
  };
  it("takes a command from RocketMQ to a gateway and its answer back", async () => {
    const { stack, business, gateways } = parts();
    for (const gateway of gateways) await gatewayOnline(stack, gateway.device);
    for (const { device } of gateways) {
      const id = await sent({ gateway: device, method: "gateway.ping", params: { payload: "hello" }, properties: { dnm_note: "mine" } });
      const reply = await business.final(id);
      expect(reply).toMatchObject({ gateway: device, code: "OK", status: 200, origin: "device", late: false, n: 1 });
      expect(reply.body).toMatchObject({ payload: "hello" });
    }
  });

  it("reports progress of real work, in order, before its end", async () => {
    const { business, gateways } = parts();
    const id = await sent({ gateway: gateways[1]!.device, method: "share.reverseSync", params: { share: "main" }, reply: "progress" });
    expect(await business.final(id)).toMatchObject({ code: "OK", body: { share: "main", objects: 3 } });
    const replies = business.repliesTo(id);
    expect(replies.map(({ kind }) => kind)).toEqual(expect.arrayContaining(["accepted", "progress", "final"]));
    expect(gateways[1]!.started().filter((each) => each === id)).toHaveLength(1);
  });

  it("runs a repeated command once and answers it again", async () => {
    const { business, gateways } = parts();
    const id = newUuidV7();
    const order = { id, gateway: gateways[0]!.device, method: "share.reverseSync", params: { share: "main" } } as const;
    await business.command(order);
    await business.final(id);
    await business.command(order);
    await until("a second final reply", () => business.repliesTo(id), (replies) => replies.length >= 2);
    expect(new Set(business.repliesTo(id).map(({ code }) => code))).toEqual(new Set(["OK"]));
    expect(gateways[0]!.started().filter((each) => each === id)).toHaveLength(1);
  });

  it("refuses another body under the same id without touching the command", async () => {
    const { business, gateways } = parts();
    const id = await sent({ gateway: gateways[0]!.device, method: "gateway.ping", params: { payload: "first" } });
    await business.final(id);
    await business.command({ id, gateway: gateways[0]!.device, method: "gateway.ping", params: { payload: "second" } });
    const replies = await until("the refusal", () => business.repliesTo(id), (all) => all.some(({ kind }) => kind === "rejected"));
    expect(replies.find(({ kind }) => kind === "rejected")).toMatchObject({ code: "ALREADY_EXISTS", reason: "ID_REUSED", origin: "platform" });
  });

  const bad: readonly BadCommand[] = [
    { what: "broken JSON", order: { method: "gateway.ping", rawBody: '{"payload": ' }, code: "INVALID_ARGUMENT", reason: "PARAM_NOT_JSON", status: 400 },
    { what: "an unknown gateway", order: { gateway: "gw-nobody", method: "gateway.ping" }, code: "NOT_FOUND", reason: "GATEWAY_NOT_FOUND", status: 404 },
    { what: "an unknown method", order: { method: "gateway.dance" }, code: "UNIMPLEMENTED", reason: "METHOD_UNKNOWN", status: 501 },
    { what: "a violation of its schema", order: { method: "share.reverseSync", params: { share: 7 } }, code: "INVALID_ARGUMENT", reason: "PARAM_INVALID", status: 400 },
    { what: "a member its schema does not know", order: { method: "gateway.ping", params: { payload: "x", more: 1 } }, code: "INVALID_ARGUMENT", reason: "PARAM_INVALID", status: 400 },
    { what: "an expired deadline", order: { method: "gateway.ping", deadlineMs: 0 }, code: "DEADLINE_EXCEEDED", reason: "NOT_DELIVERED", status: 504 },
  ];
  for (const { what, order, code, reason, status } of bad) {
    it(`answers a command with ${what} for good: ${code} / ${reason}`, async () => {
      const { business, gateways } = parts();
      const gateway = order.gateway ?? gateways[0]!.device;
      const id = await sent({ ...order, gateway });
      const reply = await business.final(id);
      expect(reply).toMatchObject({ code, reason, status, origin: "platform", contentType: "application/problem+json" });
      expect(gateways.flatMap((each) => each.started())).not.toContain(id);
    });
  }

  it("refuses the answer of a gateway for another one: counted, audited, and the command goes on", async () => {
    const { stack, business, gateways } = parts();
    const intruder = await Device.connect(stack, "gw-intruder", { group: "GID_gateway", level: 5 });
    const id = newUuidV7();
    const envelope = JSON.stringify({ v: 1, k: "res", id, att: 1, n: 1, result: { forged: true } });
    const foreign = await intruder.publish({ topic: `csgUp/${gateways[0]!.device}/r`, payload: envelope, qos: 1 });
    expect(foreign!.reasonCode).toBe(0x87);
    expect(await metric(stack, "ingress", "hawser_mqtt_publishes_refused_total", { reason: "foreign-device-level" })).toBe(1);
    // on its own topic, but for a command of somebody else
    await business.command({ id, gateway: gateways[0]!.device, method: "gateway.ping", params: { payload: "true" } });
    await intruder.publish({ topic: "csgUp/gw-intruder/r", payload: envelope, qos: 1 });
    const reply = await business.final(id);
    expect(reply.body).toMatchObject({ payload: "true" });
    const lines = (): string[] => [0, 1].flatMap((at) => stack.log(`csg-agent-${at}`).split("\n"));
    const audits = (): string[] => lines().filter((line) => line.includes("foreign-answer") && line.includes(clientIdOf("gw-intruder", "GID_gateway")));
    await until("an audit line", audits, (found) => found.length > 0);
    expect(await metric(stack, "csgAgent", "hawser_csg_foreign_answers_total")).toBeGreaterThanOrEqual(1);
    await intruder.leave();
    expect(await commandView(stack, gateways[0]!.device, id)).toMatchObject({ state: "SUCCEEDED" });
  });

  it("sends no reply to a command that wants none", async () => {
    const { stack, business, gateways } = parts();
    const { device } = gateways[0]!;
    const quiet = await sent({ gateway: device, method: "gateway.ping", params: { payload: randomUUID() }, reply: "none" });
    const loud = await sent({ gateway: device, method: "gateway.ping" });
    await business.final(loud);
    await until("the quiet command's end", () => commandView(stack, device, quiet), (view) => view?.state === "SUCCEEDED");
    expect(business.repliesTo(quiet)).toEqual([]);
  });

  it("takes every command from RocketMQ once, bad ones too, and acknowledges it", async () => {
    const { stack, business } = parts();
    const received = (labels: Readonly<Record<string, string>>) => metric(stack, "router", "hawser_rocketmq_received_messages_total", labels);
    const counts = async () => ({
      sent: business.commandsSent,
      taken: await received({ rule: "csg-cmd" }),
      accepted: await received({ rule: "csg-cmd", outcome: "accepted" }),
      received: await received({}),
      acknowledged: await metric(stack, "router", "hawser_rocketmq_acks_total", { outcome: "ok" }),
    });
    await until("as many acknowledgements as messages", counts, ({ sent, taken, accepted, received: all, acknowledged }) => taken === sent && accepted === sent && acknowledged === all);
  });
}
