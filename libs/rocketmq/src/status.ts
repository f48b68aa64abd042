import type { ProtoReader } from "./proto-reader.ts";

/** apache.rocketmq.v2.Code, as far as Hawser tells them apart. */
export const codes = {
  ok: 20_000,
  multipleResults: 30_000,
  unauthorized: 40_100,
  forbidden: 40_300,
  messageNotFound: 40_401,
  topicNotFound: 40_402,
  requestTimeout: 40_800,
  bodyTooLarge: 41_301,
  bodyEmpty: 41_302,
  preconditionFailed: 42_800,
  tooManyRequests: 42_900,
  liteQuota: 42_999,
} as const;

export interface Status {
  readonly code: number;
  readonly reason: string;
}

export function readStatus(reader: ProtoReader): Status {
  let code = 0;
  let reason = "";
  while (reader.next()) {
    if (reader.field === 1) code = reader.number();
    else if (reader.field === 2) reason = reader.text();
  }
  // the proxy adds a line with an address of its documentation
  return { code, reason: reason.split("\n", 1)[0]! };
}

/**
 * What an answer to a send means: the message is stored; the topic is not there (or not ours); the
 * server cannot just now; this very message (or one of its batch) is refused for ever.
 */
export type SendVerdict = "stored" | "topic" | "later" | "refused";

export function sendVerdict(code: number): SendVerdict {
  if (code === codes.ok) return "stored";
  if (code === codes.topicNotFound || code === codes.unauthorized || code === codes.forbidden) return "topic";
  if (code === codes.requestTimeout || (code >= codes.tooManyRequests && code <= codes.liteQuota) || code === codes.preconditionFailed) return "later";
  return code >= 40_000 && code < 50_000 ? "refused" : "later";
}
