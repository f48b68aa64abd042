import { createRequire } from "node:module";
import { globSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface S3Options {
  /** Default "files". */
  readonly bucket?: string;
  /** Objects that are there from the start: key and content. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
  /** A directory whose files become objects, under their paths in it; without node_modules and what begins with a dot. */
  readonly from?: string;
  /** Default any free port. */
  readonly port?: number;
  /** Where objects are kept; default a temporary directory that stop() removes. */
  readonly directory?: string;
}

export interface S3Server {
  readonly port: number;
  /** `http://127.0.0.1:<port>`; buckets are the first level of the path. */
  readonly url: string;
  readonly bucket: string;
  /** What an S3 client needs. */
  readonly access: { readonly endpoint: string; readonly bucket: string; readonly accessKeyId: string; readonly secretAccessKey: string };
  /** Objects put so far. */
  readonly objects: number;
  put(key: string, content: string | Uint8Array): Promise<void>;
  stop(): Promise<void>;
}

interface S3rver {
  run(): Promise<{ port: number }>;
  close(): Promise<void>;
}

/** The one account the server knows. */
const credentials = { accessKeyId: "S3RVER", secretAccessKey: "S3RVER" } as const;

/** An S3 API on loopback. It runs in this process. */
export async function startS3(options: S3Options = {}): Promise<S3Server> {
  // the package is CommonJS without types, and is not loaded by tests that do not need it
  const Server = createRequire(import.meta.url)("@20minutes/s3rver") as new (options: object) => S3rver;
  const { bucket = "files" } = options;
  const directory = options.directory ?? mkdtempSync(join(tmpdir(), "hawser-s3-"));
  const server = new Server({ address: "127.0.0.1", port: options.port ?? 0, silent: true, directory, configureBuckets: [{ name: bucket, configs: [] }] });
  const { port } = await server.run();
  const url = `http://127.0.0.1:${port}`;
  const keys = new Set<string>();
  const put = async (key: string, content: string | Uint8Array): Promise<void> => {
    const path = key.split("/").map(encodeURIComponent).join("/");
    const response = await fetch(`${url}/${bucket}/${path}`, { method: "PUT", body: Buffer.from(content as string) });
    if (!response.ok) throw new Error(`S3: ${key}: ${response.status} ${await response.text()}`);
    await response.arrayBuffer();
    keys.add(key);
  };
  for (const [key, content] of Object.entries(options.files ?? {})) await put(key, content);
  if (options.from !== undefined) await putTree(options.from, put);
  return {
    port,
    url,
    bucket,
    access: { endpoint: url, bucket, ...credentials },
    get objects() {
      return keys.size;
    },
    put,
    stop: async () => {
      await server.close();
      if (options.directory === undefined) rmSync(directory, { recursive: true, force: true });
    },
  };
}

const PUTS_AT_ONCE = 16;

async function putTree(root: string, put: (key: string, content: Uint8Array) => Promise<void>): Promise<void> {
  const hidden = (name: string): boolean => name === "node_modules" || (name.startsWith(".") && name !== ".");
  const files = globSync("**", { cwd: root, exclude: (path) => path.split("/").some(hidden) }).filter((path) => statSync(join(root, path)).isFile());
  const next = files.values();
  const worker = async (): Promise<void> => {
    for (const path of next) await put(path, readFileSync(join(root, path)));
  };
  await Promise.all(Array.from({ length: PUTS_AT_ONCE }, worker));
}
