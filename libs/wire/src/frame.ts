/**
 * A frame: what a request between services carries: version, verb, a JSON head for what is
 * structured and rare, and a body of bytes for what is large or frequent. Verbs with a hot path
 * leave the head null and put everything into the body.
 */
import { ByteReader, ByteWriter, WireFormatError } from "./bytes.ts";
import { FORMAT_VERSION, readFormatVersion } from "./version.ts";

export interface Frame {
  readonly verb: number;
  readonly head: unknown;
  readonly body: Buffer;
}

const EMPTY = Buffer.alloc(0);

export function encodeFrame(verb: number, head: unknown, body: Uint8Array = EMPTY): Buffer {
  const json = head === null ? EMPTY : Buffer.from(JSON.stringify(head));
  return new ByteWriter(6 + json.length + body.length).u8(FORMAT_VERSION).u8(verb).u32(json.length).bytes(json).bytes(body).finish();
}

/** @throws WireFormatError */
export function decodeFrame(bytes: Uint8Array): Frame {
  const reader = new ByteReader(bytes);
  readFormatVersion(reader, "frame");
  const verb = reader.u8();
  const json = reader.bytes(reader.u32());
  let head: unknown = null;
  if (json.length > 0) {
    try {
      head = JSON.parse(json.toString());
    } catch (cause) {
      throw new WireFormatError("frame: head is not JSON", { cause });
    }
  }
  return { verb, head, body: reader.rest() };
}

/** What an owner answers: `ok`, or why not. `fenced`: ask the owner of the newer epoch. */
export type Answer<T extends object = object> = ({ readonly ok: true } & T) | Refusal;
export interface Refusal {
  readonly ok: false;
  readonly code: "fenced" | "busy" | "stale" | "refused";
  readonly reason: string;
}

export function encodeAnswer(answer: Answer): Buffer {
  return Buffer.from(JSON.stringify(answer));
}

/** @throws WireFormatError */
export function decodeAnswer<T extends object>(bytes: Uint8Array): Answer<T> {
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString()) as Answer<T>;
  } catch (cause) {
    throw new WireFormatError("answer is not JSON", { cause });
  }
}
