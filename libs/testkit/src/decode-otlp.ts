/**
 * Reads what an OTLP exporter sends (opentelemetry-proto, trace/v1): the dozen fields that tests
 * look at, the rest is skipped. Written by hand: the exporters' packages hold encoders only.
 */
export interface PlainSpan {
  /** 32 hex digits. */
  readonly traceId: string;
  /** 16 hex digits. */
  readonly spanId: string;
  /** Empty for a root. */
  readonly parentSpanId: string;
  readonly name: string;
  readonly kind: SpanKind;
  /** `service.name` of the resource. */
  readonly service: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: Readonly<Record<string, AttributeValue>>;
  readonly resource: Readonly<Record<string, AttributeValue>>;
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
  readonly status: "unset" | "ok" | "error";
}

export type SpanKind = "unspecified" | "internal" | "server" | "client" | "producer" | "consumer";
export type AttributeValue = string | number | boolean | null | readonly AttributeValue[] | { readonly [key: string]: AttributeValue };

const kinds: readonly SpanKind[] = ["unspecified", "internal", "server", "client", "producer", "consumer"];
const statuses = ["unset", "ok", "error"] as const;

/** A field as it is on the wire: a number (varint, fixed64 as integer) or bytes. */
interface Field {
  readonly number: number;
  readonly bytes: Buffer;
  readonly value: bigint;
}

/** @param body an ExportTraceServiceRequest @throws RangeError when it is not one */
export function decodeTraces(body: Buffer): PlainSpan[] {
  const spans: PlainSpan[] = [];
  for (const resourceSpans of messages(body, 1)) {
    const resource: Record<string, AttributeValue> = {};
    for (const message of messages(resourceSpans, 1)) Object.assign(resource, attributes(message, 1));
    for (const scopeSpans of messages(resourceSpans, 2)) for (const span of messages(scopeSpans, 2)) spans.push(decodeSpan(span, resource));
  }
  return spans;
}

function decodeSpan(bytes: Buffer, resource: Record<string, AttributeValue>): PlainSpan {
  const own = { traceId: "", spanId: "", parentSpanId: "", name: "", kind: 0, start: 0n, end: 0n, status: 0 };
  const links: { traceId: string; spanId: string }[] = [];
  for (const field of fields(bytes)) {
    if (field.number === 1) own.traceId = field.bytes.toString("hex");
    else if (field.number === 2) own.spanId = field.bytes.toString("hex");
    else if (field.number === 4) own.parentSpanId = field.bytes.toString("hex");
    else if (field.number === 5) own.name = field.bytes.toString("utf8");
    else if (field.number === 6) own.kind = Number(field.value);
    else if (field.number === 7) own.start = field.value;
    else if (field.number === 8) own.end = field.value;
    else if (field.number === 13) links.push(decodeLink(field.bytes));
    else if (field.number === 15) own.status = Number(fields(field.bytes).find(({ number }) => number === 3)?.value ?? 0n);
  }
  return {
    traceId: own.traceId,
    spanId: own.spanId,
    parentSpanId: own.parentSpanId,
    name: own.name,
    kind: kinds[own.kind] ?? "unspecified",
    service: String(resource["service.name"] ?? ""),
    startMs: milliseconds(own.start),
    endMs: milliseconds(own.end),
    attributes: attributes(bytes, 9),
    resource,
    links,
    status: statuses[own.status] ?? "unset",
  };
}

function decodeLink(bytes: Buffer): { traceId: string; spanId: string } {
  const all = fields(bytes);
  const hex = (wanted: number): string => all.find(({ number }) => number === wanted)?.bytes.toString("hex") ?? "";
  return { traceId: hex(1), spanId: hex(2) };
}

/** Nanoseconds do not fit into a double; microseconds of this century do. */
function milliseconds(nanoseconds: bigint): number {
  return Number(nanoseconds / 1000n) / 1000;
}

/** The KeyValues of a message under one field number. */
function attributes(bytes: Buffer, number: number): Record<string, AttributeValue> {
  const result: Record<string, AttributeValue> = {};
  for (const pair of messages(bytes, number)) {
    const parts = fields(pair);
    const key = parts.find((part) => part.number === 1)?.bytes.toString("utf8") ?? "";
    const value = parts.find((part) => part.number === 2);
    result[key] = value ? anyValue(value.bytes) : null;
  }
  return result;
}

function anyValue(bytes: Buffer): AttributeValue {
  const field = fields(bytes)[0];
  switch (field?.number) {
    case 1:
      return field.bytes.toString("utf8");
    case 2:
      return field.value !== 0n;
    case 3:
      return Number(BigInt.asIntN(64, field.value));
    case 4:
      return doubleOf(field.value);
    case 5:
      return messages(field.bytes, 1).map(anyValue);
    case 6:
      return attributes(field.bytes, 1);
    case 7:
      return field.bytes.toString("base64");
    default:
      return null;
  }
}

function doubleOf(bits: bigint): number {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(bits);
  return bytes.readDoubleLE();
}

function messages(bytes: Buffer, number: number): Buffer[] {
  return fields(bytes)
    .filter((field) => field.number === number)
    .map((field) => field.bytes);
}

const NOTHING = Buffer.alloc(0);

function fields(bytes: Buffer): Field[] {
  const result: Field[] = [];
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++];
      if (byte === undefined || shift > 63n) throw new RangeError("not a protobuf message");
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  const take = (length: number): Buffer => {
    if (at + length > bytes.length) throw new RangeError("not a protobuf message");
    at += length;
    return bytes.subarray(at - length, at);
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const number = tag >> 3;
    switch (tag & 7) {
      case 0:
        result.push({ number, value: varint(), bytes: NOTHING });
        break;
      case 1:
        result.push({ number, value: take(8).readBigUInt64LE(), bytes: NOTHING });
        break;
      case 2:
        result.push({ number, value: 0n, bytes: take(Number(varint())) });
        break;
      case 5:
        result.push({ number, value: BigInt(take(4).readUInt32LE()), bytes: NOTHING });
        break;
      default:
        throw new RangeError("not a protobuf message");
    }
  }
  return result;
}
