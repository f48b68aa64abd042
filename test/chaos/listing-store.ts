/** An S3 API that only lists, and remembers who began to: what the world sees of a gateway's runs. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { S3Server } from "@hawser/testkit";

export interface ListingStore {
  readonly access: S3Server["access"];
  /** Prefixes of listings as they began, in order. */
  readonly begun: readonly string[];
  stop(): Promise<void>;
}

const BUCKET = "files";

/** Every prefix has `pages` pages of one object. */
export async function startListingStore(pages: number): Promise<ListingStore> {
  const begun: string[] = [];
  const server = createServer((request, response) => {
    const query = new URL(request.url!, "http://store").searchParams;
    const prefix = query.get("prefix") ?? "";
    const token = query.get("continuation-token");
    if (token === null) begun.push(prefix);
    const page = Number(token ?? "0");
    const more = page + 1 < pages;
    const object = `<Contents><Key>${prefix}${page}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>"0"</ETag><Size>1</Size></Contents>`;
    const next = more ? `<NextContinuationToken>${page + 1}</NextContinuationToken>` : "";
    response.writeHead(200, { "content-type": "application/xml" });
    const head = `<Name>${BUCKET}</Name><Prefix>${prefix}</Prefix><KeyCount>1</KeyCount><IsTruncated>${more}</IsTruncated>`;
    response.end(`<?xml version="1.0" encoding="UTF-8"?><ListBucketResult>${head}${next}${object}</ListBucketResult>`);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    access: { endpoint, bucket: BUCKET, accessKeyId: "test", secretAccessKey: "test" },
    begun,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
