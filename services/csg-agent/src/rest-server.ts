/**
 * REST for operators: submit, get, list and cancel commands, look at a gateway. Any instance answers
 * for any gateway by asking its owner. Bearer token; errors are RFC 9457 problems; `Prefer: wait=N`
 * (RFC 7240) waits for the final state; `Idempotency-Key` makes a repeated POST the same command.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import type { AddressInfo } from "node:net";
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import {
  type CommandError,
  commandError,
  GATEWAY_ID_MAX_LENGTH,
  httpStatusOf,
  isFinal,
  isUuid,
  laneSchema,
  newUuidV7,
  problemOf,
  replyModes,
  uuidV5,
} from "@hawser/csg-protocol";
import { listenError } from "@hawser/errors";
import { counter, metricNames, SpanKind, spanName, spanNames, startEdgeSpan, traceparentOf } from "@hawser/telemetry";
import { z } from "zod";
import type { CommandView } from "@hawser/command-engine";
import type { GatewayAsker } from "./gateway-asker.ts";

export interface RestOptions {
  readonly host: string;
  readonly port: number;
  /** Empty = every request is refused. */
  readonly token: string;
  readonly maxWaitMs: number;
  readonly defaultInstance: string;
  /** The gateway group of an instance, undefined when it has none or does not exist. */
  readonly gatewayGroup: (instance: string) => string | undefined;
  readonly asker: GatewayAsker;
}

interface Target {
  readonly instance: string;
  readonly gateway: string;
  readonly clientId: string;
}

const bodySchema = z.strictObject({
  method: z.string().min(1).max(128),
  params: z.unknown().optional(),
  reply: z.enum(replyModes).default("final"),
  queueTtlMs: z.number().int().min(0).optional(),
  deadlineMs: z.number().int().optional(),
  /** Accepted for symmetry; the lane is the method's. */
  lane: laneSchema.optional(),
  /** RocketMQ topic that gets the replies, too. */
  replyTopic: z
    .string()
    .regex(/^[%|a-zA-Z0-9_-]{1,127}$/)
    .optional(),
  principal: z.string().max(128).default("rest"),
});
const querySchema = z.object({
  instance: z.string().optional(),
  group: z.string().optional(),
  gateway: z.string().optional(),
  limit: z.coerce.number().int().min(1).max(1_000).default(100),
});

class ProblemError extends Error {
  override readonly name = "ProblemError";
  readonly error: CommandError;

  constructor(error: CommandError) {
    super(error.message);
    this.error = error;
  }
}

export class RestServer {
  readonly #options: RestOptions;
  readonly #app: FastifyInstance;
  port = 0;

  constructor(options: RestOptions) {
    this.#options = options;
    this.#app = Fastify({ bodyLimit: 128 * 1024, routerOptions: { maxParamLength: 128 } });
    this.#app.addHook("onRequest", async (request) => this.#authorize(request));
    this.#app.addHook("onResponse", async (request, reply) => {
      counter(metricNames.restRequests, { route: request.routeOptions.url ?? "none", status: String(reply.statusCode) }).add(1);
    });
    this.#app.setErrorHandler((error, _request, reply) => sendError(reply, error));
    this.#app.setNotFoundHandler((_request, reply) => sendProblem(reply, commandError("COMMAND_NOT_FOUND", "no such resource"), 404));
    this.#app.post("/v1/gateways/:gateway/commands", (request, reply) => this.#submit(request, reply));
    this.#app.get("/v1/gateways/:gateway/commands", (request) => this.#list(request));
    this.#app.get("/v1/gateways/:gateway", (request) => this.#gateway(request));
    this.#app.get("/v1/commands/:id", (request) => this.#command(request, "get"));
    this.#app.post("/v1/commands/:id/cancel", (request) => this.#command(request, "cancel"));
  }

  /** @throws HawserError HAWSER_E_PORT_TAKEN, HAWSER_E_LISTEN */
  async start(): Promise<void> {
    const { host, port } = this.#options;
    try {
      await this.#app.listen({ host, port });
    } catch (error) {
      throw listenError(error as Error, "csg.restPort", `${host}:${port}`);
    }
    this.port = (this.#app.server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    this.#app.server.closeAllConnections();
    await this.#app.close();
  }

  #authorize(request: FastifyRequest): void {
    const { token } = this.#options;
    const given = /^Bearer +(.+)$/i.exec(request.headers.authorization ?? "")?.[1] ?? "";
    // hashes have one length, so that the comparison tells nothing, not even that
    const same = timingSafeEqual(digest(given), digest(token));
    if (token !== "" && same) return;
    throw new ProblemError({ code: "UNAUTHENTICATED", reason: "TOKEN_INVALID", message: "a valid bearer token is needed", retryable: false });
  }

  #target(gateway: string, request: FastifyRequest): Target {
    const query = querySchema.parse(request.query);
    const instance = query.instance ?? this.#options.defaultInstance;
    const group = query.group ?? this.#options.gatewayGroup(instance);
    if (group === undefined) throw new ProblemError(commandError("GATEWAY_NOT_FOUND", `instance ${instance} has no gateway group`));
    if (gateway === "" || gateway.length > GATEWAY_ID_MAX_LENGTH) throw new ProblemError(commandError("GATEWAY_NOT_FOUND", "no such gateway"));
    return { instance, gateway, clientId: `${group}@@@${gateway}` };
  }

  async #submit(request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
    const target = this.#target(param(request, "gateway"), request);
    const body = bodySchema.parse(request.body);
    const id = commandId(request.headers["idempotency-key"]);
    const waitMs = Math.min(waitOf(request.headers.prefer) * 1000, this.#options.maxWaitMs);
    const name = spanName(spanNames.rest, { httpMethod: "POST", route: "/v1/gateways/{id}/commands" });
    const span = startEdgeSpan(name, SpanKind.SERVER, textOf(request.headers.traceparent));
    const { method, reply: mode, replyTopic = "", principal, queueTtlMs, deadlineMs } = body;
    const begin = async (): Promise<CommandView> => {
      const ask = {
        op: "submit" as const,
        instance: target.instance,
        clientId: target.clientId,
        id,
        method,
        reply: mode,
        replyTopic,
        principal,
        traceparent: traceparentOf(span) ?? "",
        ...(queueTtlMs === undefined ? {} : { queueTtlMs }),
        ...(deadlineMs === undefined ? {} : { deadlineMs }),
      };
      const asked = await this.#options.asker.ask<{ command?: CommandView; error?: CommandError }>(ask, Buffer.from(JSON.stringify(body.params ?? {})));
      if (!asked.ok) throw new ProblemError(asked.error);
      if (!asked.value.command) throw new ProblemError(asked.value.error ?? commandError("OWNER_UNAVAILABLE", "no answer"));
      return asked.value.command;
    };
    try {
      const command = waitMs > 0 ? await this.#options.asker.waitFinal(target.gateway, id, waitMs, begin) : await begin();
      return sendCommand(reply, command!, target);
    } finally {
      span?.end();
    }
  }

  async #list(request: FastifyRequest): Promise<unknown> {
    const { instance, clientId, gateway } = this.#target(param(request, "gateway"), request);
    const { limit } = querySchema.parse(request.query);
    const { known, commands } = await this.#ask<{ known: boolean; commands: CommandView[] }>({ op: "list", instance, clientId, limit });
    if (!known && commands.length === 0) throw new ProblemError(commandError("GATEWAY_NOT_FOUND", `no gateway ${gateway} has ever connected`));
    return { commands };
  }

  async #gateway(request: FastifyRequest): Promise<unknown> {
    const { instance, clientId, gateway } = this.#target(param(request, "gateway"), request);
    const answer = await this.#ask<{ known: boolean; gateway: object }>({ op: "gateway", instance, clientId });
    if (!answer.known) throw new ProblemError(commandError("GATEWAY_NOT_FOUND", `no gateway ${gateway} has ever connected`));
    return answer.gateway;
  }

  async #command(request: FastifyRequest, op: "get" | "cancel"): Promise<unknown> {
    const { gateway } = querySchema.parse(request.query);
    if (gateway === undefined) throw new ProblemError(commandError("REQUEST_INVALID", "the query must name the gateway"));
    const { instance, clientId } = this.#target(gateway, request);
    const id = param(request, "id");
    const answer = await this.#ask<{ missing?: boolean; command?: CommandView }>({ op, instance, clientId, id });
    if (!answer.command) throw new ProblemError(commandError("COMMAND_NOT_FOUND", `${gateway} has no command ${id}`));
    return answer.command;
  }

  async #ask<T>(ask: Parameters<GatewayAsker["ask"]>[0]): Promise<T> {
    const asked = await this.#options.asker.ask<T>(ask);
    if (!asked.ok) throw new ProblemError(asked.error);
    return asked.value;
  }
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

function param(request: FastifyRequest, name: string): string {
  return (request.params as Record<string, string>)[name] ?? "";
}

function textOf(header: string | string[] | undefined): string | null {
  return typeof header === "string" ? header : null;
}

/** A UUID is the id itself; another key of up to 64 printable characters stands for one. */
function commandId(key: string | string[] | undefined): string {
  if (key === undefined) return newUuidV7();
  if (typeof key !== "string" || !/^[\x21-\x7e]{1,64}$/.test(key)) {
    throw new ProblemError(commandError("ID_INVALID", "Idempotency-Key must be 1 to 64 printable characters"));
  }
  return isUuid(key.toLowerCase()) ? key.toLowerCase() : uuidV5(key);
}

function waitOf(prefer: string | string[] | undefined): number {
  return Number(/(?:^|[,;\s])wait=(\d{1,4})(?:$|[,;\s])/.exec(String(prefer ?? ""))?.[1] ?? 0);
}

function sendCommand(reply: FastifyReply, command: CommandView, target: Target): FastifyReply {
  const refused = command.error !== null && command.attempt === 0 && isFinal(command.state) && command.state !== "CANCELLED";
  if (refused) return sendProblem(reply, command.error!, undefined, command.id);
  const group = command.group === "" ? "" : `&group=${encodeURIComponent(command.group)}`;
  const location = `/v1/commands/${command.id}?gateway=${encodeURIComponent(target.gateway)}${group}`;
  return reply.code(isFinal(command.state) ? 200 : 202).header("location", location).send(command);
}

function sendProblem(reply: FastifyReply, error: CommandError, status: number = httpStatusOf[error.code], id?: string): FastifyReply {
  // as bytes, so that no charset is added: this type has none
  const bytes = Buffer.from(JSON.stringify({ ...problemOf(error, id), status }));
  return reply.code(status).header("content-type", "application/problem+json").send(bytes);
}

function sendError(reply: FastifyReply, error: unknown): FastifyReply {
  if (error instanceof ProblemError) {
    if (error.error.code === "UNAUTHENTICATED") reply.header("www-authenticate", "Bearer");
    return sendProblem(reply, error.error);
  }
  if (error instanceof z.ZodError) {
    const issue = error.issues[0];
    return sendProblem(reply, commandError("REQUEST_INVALID", `${issue?.path.join(".") || "body"}: ${issue?.message ?? "not valid"}`));
  }
  const status = (error as { statusCode?: number }).statusCode ?? 500;
  if (status < 500) return sendProblem(reply, commandError("REQUEST_INVALID", (error as Error).message), status);
  return sendProblem(reply, { code: "INTERNAL", reason: "INTERNAL", message: "internal error", retryable: true });
}
