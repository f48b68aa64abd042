/** An OTLP/HTTP receiver in the test's process: decodes as much of the protobuf as the tests look at. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { gunzipSync } from "node:zlib";

export interface SinkSpan {
  readonly service: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly name: string;
  readonly kind: number;
  readonly attributes: Record<string, string>;
  readonly linkedSpanIds: string[];
}

type Field = number | Buffer;

/** Field number -> values, in order; fixed-width numbers are left out. */
function decodeMessage(bytes: Buffer): Map<number, Field[]> {
  const fields = new Map<number, Field[]>();
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 1; ; shift *= 128) {
      const byte = bytes[at++]!;
      value += (byte & 0x7f) * shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const wire = tag & 7;
    let value: Field | undefined;
    if (wire === 0) value = varint();
    else if (wire === 1) at += 8;
    else if (wire === 5) at += 4;
    else {
      const size = varint();
      value = bytes.subarray(at, at + size);
      at += size;
    }
    if (value !== undefined) fields.set(tag >>> 3, [...(fields.get(tag >>> 3) ?? []), value]);
  }
  return fields;
}

const buffers = (fields: Map<number, Field[]>, number: number): Buffer[] => (fields.get(number) ?? []).filter((value) => Buffer.isBuffer(value));
const hex = (fields: Map<number, Field[]>, number: number): string => buffers(fields, number)[0]?.toString("hex") ?? "";
const text = (fields: Map<number, Field[]>, number: number): string => buffers(fields, number)[0]?.toString() ?? "";

function decodeAttributes(list: readonly Buffer[]): Record<string, string> {
  return Object.fromEntries(
    list.map((bytes) => {
      const pair = decodeMessage(bytes);
      const value = decodeMessage(buffers(pair, 2)[0] ?? Buffer.alloc(0));
      return [text(pair, 1), text(value, 1) || String(value.get(3)?.[0] ?? value.get(2)?.[0] ?? "")];
    }),
  );
}

export function decodeSpans(request: Buffer): SinkSpan[] {
  return buffers(decodeMessage(request), 1).flatMap((resourceBytes) => {
    const resourceSpans = decodeMessage(resourceBytes);
    const resource = decodeAttributes(buffers(decodeMessage(buffers(resourceSpans, 1)[0]!), 1));
    const scopes = buffers(resourceSpans, 2).map(decodeMessage);
    return scopes.flatMap((scope) => buffers(scope, 2).map(decodeMessage)).map((span) => ({
      service: resource["service.name"] ?? "",
      traceId: hex(span, 1),
      spanId: hex(span, 2),
      parentSpanId: hex(span, 4),
      name: text(span, 5),
      kind: Number(span.get(6)?.[0] ?? 0),
      attributes: decodeAttributes(buffers(span, 9)),
      linkedSpanIds: buffers(span, 13).map((link) => hex(decodeMessage(link), 2)),
    }));
  });
}

/** @param status what it answers; 0 = never */
export async function startOtlpSink(status = 200): Promise<{ url: string; spans: SinkSpan[]; close(): Promise<void> }> {
  const spans: SinkSpan[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      if (status === 0) return;
      const body = Buffer.concat(chunks);
      if (status === 200 && request.url === "/v1/traces") spans.push(...decodeSpans(request.headers["content-encoding"] === "gzip" ? gunzipSync(body) : body));
      response.writeHead(status).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
