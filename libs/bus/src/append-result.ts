/**
 * What became of a JetStream publish. `refused` is certain: nothing was stored. `unknown` is not:
 * the answer was lost, the message may be there.
 */
export type AppendResult =
  | {
      readonly kind: "stored";
      readonly sequence: number;
      /** A message of the same `Nats-Msg-Id` stands at this sequence already; this one was not stored. */
      readonly duplicate?: true;
    }
  | { readonly kind: "refused"; readonly code: number; readonly reason: string }
  | { readonly kind: "unknown" };

const SEQUENCE = /"seq":\s?(\d+)/;
const CODE = /"err_code":\s?(\d+)/;
const DESCRIPTION = /"description":\s?"([^"]*)"/;
const DUPLICATE = /"duplicate":\s?true/;

/** JSStreamDuplicateMessageConflict: an earlier copy is on its way into the stream. */
const DUPLICATE_IN_PROCESS = 10_158;

/**
 * Reads a PubAck without building objects. The server answers with an error only when it has not
 * stored the message; a store that fails for want of a working disk is not answered at all.
 */
export function parsePubAck(data: Buffer): AppendResult {
  const text = data.toString("latin1");
  if (text.includes('"error"')) {
    const code = Number(CODE.exec(text)?.[1] ?? 0);
    if (code === 0 || code === DUPLICATE_IN_PROCESS) return { kind: "unknown" };
    return { kind: "refused", code, reason: DESCRIPTION.exec(text)?.[1] ?? "refused" };
  }
  const sequence = SEQUENCE.exec(text);
  if (!sequence) return { kind: "unknown" };
  return DUPLICATE.test(text) ? { kind: "stored", sequence: Number(sequence[1]), duplicate: true } : { kind: "stored", sequence: Number(sequence[1]) };
}
