/** Heads of `ask` to the owner of a gateway: what REST, and other services, want of an actor. */
import { replyModes } from "@hawser/csg-protocol";
import { z } from "zod";

const target = { instance: z.string(), clientId: z.string() };

export const askSchema = z.discriminatedUnion("op", [
  z.object({
    op: z.literal("submit"),
    ...target,
    id: z.string(),
    method: z.string(),
    reply: z.enum(replyModes),
    replyTopic: z.string(),
    principal: z.string(),
    queueTtlMs: z.number().optional(),
    deadlineMs: z.number().optional(),
    traceparent: z.string(),
  }),
  z.object({ op: z.literal("get"), ...target, id: z.string() }),
  z.object({ op: z.literal("cancel"), ...target, id: z.string() }),
  z.object({ op: z.literal("list"), ...target, limit: z.number().int().min(1).max(1_000) }),
  z.object({ op: z.literal("gateway"), ...target }),
]);
export type Ask = z.output<typeof askSchema>;
