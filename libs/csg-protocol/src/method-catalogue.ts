/** The methods every gateway of this version knows. */
import { z } from "zod";
import { defineMethod, type Method } from "./method.ts";

const shareName = z.string().regex(/^[0-9A-Za-z][0-9A-Za-z._-]{0,62}$/, "1 to 63 of letters, digits, '.', '_', '-'");

export const gatewayInfo = defineMethod({
  name: "gateway.info",
  lane: "query",
  idempotent: true,
  params: z.strictObject({}),
});

export const gatewayPing = defineMethod({
  name: "gateway.ping",
  lane: "query",
  idempotent: true,
  params: z.strictObject({ payload: z.unknown().optional() }),
});

export const shareList = defineMethod({
  name: "share.list",
  lane: "query",
  idempotent: true,
  params: z.strictObject({}),
});

/** Reads what the bucket holds and builds the share's index on the gateway's disk. */
export const shareReverseSync = defineMethod({
  name: "share.reverseSync",
  lane: "task",
  idempotent: false,
  params: z.strictObject({ share: shareName, prefix: z.string().max(1_024).optional() }),
  mutexKey: (params) => `share/${params.share}`,
});

export const methodCatalogue: ReadonlyMap<string, Method> = new Map(
  // a method is called only with what its own schema has let through
  ([gatewayInfo, gatewayPing, shareList, shareReverseSync] as unknown as Method[]).map((method) => [method.name, method]),
);
