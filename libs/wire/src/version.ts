import { type ByteReader, WireFormatError } from "./bytes.ts";

/**
 * Every envelope, entry, record and request begins with this byte. A version N+1 keeps reading N
 * until no N is left in a log or a bucket, so that a rolling upgrade never stops a message.
 */
export const FORMAT_VERSION = 1;

export function readFormatVersion(reader: ByteReader, what: string): void {
  const version = reader.u8();
  if (version !== FORMAT_VERSION) throw new WireFormatError(`${what}: format version ${version} is not known`);
}
