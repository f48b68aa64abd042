/**
 * A stored record of an actor: `u8 version, u32 epoch, short text instance, short text Client ID`,
 * then the behaviour's value. The epoch fences, the full id shows when two ids share a token.
 */
import { ByteReader, ByteWriter, FORMAT_VERSION, readFormatVersion } from "@hawser/wire";
import type { ActorKey } from "./behaviour.ts";

export interface ActorRecord {
  readonly epoch: number;
  readonly instance: string;
  readonly clientId: string;
  readonly value: Buffer;
}

export function encodeActorRecord(key: ActorKey, epoch: number, value: Buffer): Buffer {
  return new ByteWriter(64 + value.length).u8(FORMAT_VERSION).u32(epoch).shortText(key.instance).shortText(key.clientId).bytes(value).finish();
}

/** @throws WireFormatError */
export function decodeActorRecord(bytes: Buffer): ActorRecord {
  const reader = new ByteReader(bytes);
  readFormatVersion(reader, "actor record");
  return { epoch: reader.u32(), instance: reader.shortText(), clientId: reader.shortText(), value: reader.rest() };
}
