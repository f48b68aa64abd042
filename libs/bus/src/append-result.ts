/**
 * What became of a JetStream publish. `refused` is certain: nothing was stored. `unknown` is not:
 * the answer was lost, the message may be there.
 */
export type AppendResult =
  | { readonly kind: "stored"; readonly sequence: number }
  | { readonly kind: "refused"; readonly code: number; readonly reason: string }
  | { readonly kind: "unknown" };

const SEQUENCE = /"seq":\s?(\d+)/;
const CODE = /"err_code":\s?(\d+)/;
const DESCRIPTION = /"description":\s?"([^"]*)"/;

/** JetStream's codes that say "try again": the answer may be late, an election may run. */
const TRANSIENT_CODES = new Set([10_008, 10_023, 10_039, 10_074, 10_076, 10_103]);

/** Reads a PubAck without building objects: it is one per commit, but also one per record. */
export function parsePubAck(data: Buffer): AppendResult {
  const text = data.toString("latin1");
  if (text.includes('"error"')) {
    const code = Number(CODE.exec(text)?.[1] ?? 0);
    if (TRANSIENT_CODES.has(code)) return { kind: "unknown" };
    return { kind: "refused", code, reason: DESCRIPTION.exec(text)?.[1] ?? "refused" };
  }
  const sequence = SEQUENCE.exec(text);
  return sequence ? { kind: "stored", sequence: Number(sequence[1]) } : { kind: "unknown" };
}
