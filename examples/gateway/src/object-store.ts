/** Listing a bucket, page by page. */
import { S3mini } from "s3mini";

export interface StoredObject {
  readonly key: string;
  readonly sizeBytes: number;
  readonly etag: string;
  readonly modified: string;
}

export interface ObjectStoreOptions {
  readonly endpoint: string;
  readonly bucket: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly pageObjects: number;
}

/** @throws Error when the store refuses or cannot be reached; the signal's reason when it is aborted */
export async function* listPages(options: ObjectStoreOptions, prefix: string, signal: AbortSignal): AsyncGenerator<StoredObject[]> {
  const store = new S3mini({
    accessKeyId: options.accessKeyId,
    secretAccessKey: options.secretAccessKey,
    endpoint: options.endpoint,
    region: options.region,
    fetch: ((url: string | URL, init?: RequestInit) => fetch(url, { ...init, signal })) as typeof fetch,
  });
  let token: string | undefined;
  do {
    signal.throwIfAborted();
    // s3mini takes its first argument as the path, not as a delimiter. `/bucket/`, which its default
    // makes, is signed differently by some stores (a bucket has no trailing slash there).
    const page = await store.listObjectsPaged(options.bucket, prefix, options.pageObjects, token);
    if (!page) throw new Error(`bucket ${options.bucket} does not exist`);
    yield (page.objects ?? []).map((object) => ({
      key: object.Key,
      sizeBytes: Number(object.Size),
      etag: String(object.ETag).replaceAll('"', ""),
      modified: new Date(object.LastModified).toISOString(),
    }));
    token = page.nextContinuationToken;
  } while (token !== undefined && token !== "");
}
