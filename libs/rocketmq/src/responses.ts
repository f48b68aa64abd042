/** Answers of the proxy to unary calls, decoded by hand. */
import { ProtoReader } from "./proto-reader.ts";
import { codes, readStatus, type Status } from "./status.ts";

const NO_STATUS: Status = { code: 0, reason: "the answer has no status" };

/** One entry answers for the whole batch: all or nothing. */
export function decodeSendResponse(bytes: Buffer): Status {
  const reader = new ProtoReader(bytes);
  let status = NO_STATUS;
  let failed: Status | null = null;
  while (reader.next()) {
    if (reader.field === 1) status = readStatus(reader.message());
    else if (reader.field === 2) {
      const entry = reader.message();
      while (entry.next()) {
        if (entry.field !== 1) continue;
        const each = readStatus(entry.message());
        if (each.code !== codes.ok) failed ??= each;
      }
    }
  }
  return failed ?? status;
}

export interface AckResponse {
  readonly status: Status;
  /** By receipt handle, what did not succeed. */
  readonly failed: ReadonlyMap<string, Status>;
}

export function decodeAckResponse(bytes: Buffer): AckResponse {
  const reader = new ProtoReader(bytes);
  let status = NO_STATUS;
  const failed = new Map<string, Status>();
  while (reader.next()) {
    if (reader.field === 1) status = readStatus(reader.message());
    else if (reader.field === 2) {
      const entry = reader.message();
      let handle = "";
      let each = NO_STATUS;
      while (entry.next()) {
        if (entry.field === 2) handle = entry.text();
        else if (entry.field === 3) each = readStatus(entry.message());
      }
      if (each.code !== codes.ok) failed.set(handle, each);
    }
  }
  return { status, failed };
}

/** The answer to ChangeInvisibleDuration: the handle that counts from now on. */
export function decodeChangeResponse(bytes: Buffer): { readonly status: Status; readonly receiptHandle: string } {
  const reader = new ProtoReader(bytes);
  let status = NO_STATUS;
  let receiptHandle = "";
  while (reader.next()) {
    if (reader.field === 1) status = readStatus(reader.message());
    else if (reader.field === 2) receiptHandle = reader.text();
  }
  return { status, receiptHandle };
}

/** What the route says about a topic. */
export interface TopicRoute {
  readonly status: Status;
  readonly acceptsNormal: boolean;
  readonly acceptsFifo: boolean;
  readonly writeQueues: number;
}

const WRITE = 3;
const READ_WRITE = 4;
const NORMAL = 1;
const FIFO = 2;

export function decodeRouteResponse(bytes: Buffer): TopicRoute {
  const reader = new ProtoReader(bytes);
  let status = NO_STATUS;
  const types = new Set<number>();
  let writeQueues = 0;
  while (reader.next()) {
    if (reader.field === 1) status = readStatus(reader.message());
    else if (reader.field === 2) {
      const queue = reader.message();
      while (queue.next()) {
        if (queue.field === 3) {
          const permission = queue.number();
          if (permission === WRITE || permission === READ_WRITE) writeQueues++;
        } else if (queue.field === 5) readTypes(queue, types);
      }
    }
  }
  return { status, acceptsNormal: types.has(NORMAL), acceptsFifo: types.has(FIFO), writeQueues };
}

/** A repeated enum: packed. */
function readTypes(queue: ProtoReader, types: Set<number>): void {
  for (const type of queue.bytes()) types.add(type);
}
