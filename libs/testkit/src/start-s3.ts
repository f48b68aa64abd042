import { type ChildProcess, spawn } from "node:child_process";
import { globSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { guardChild } from "@hawser/stack";

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

/** The one account the server knows. */
const credentials = { accessKeyId: "S3RVER", secretAccessKey: "S3RVER" } as const;

/** An S3 API on loopback, in a process of its own. */
export async function startS3(options: S3Options = {}): Promise<S3Server> {
  const { bucket = "files" } = options;
  const directory = options.directory ?? mkdtempSync(join(tmpdir(), "hawser-s3-"));
  const server = startProcess(directory, bucket, options.port ?? 0);
  const port = await portOf(server);
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
      const ended = new Promise((resolve) => server.once("exit", resolve));
      server.kill("SIGKILL");
      await ended;
      if (options.directory === undefined) rmSync(directory, { recursive: true, force: true });
    },
  };
}

function startProcess(directory: string, bucket: string, port: number): ChildProcess {
  const args = ["--openssl-legacy-provider", "--no-warnings", join(import.meta.dirname, "s3-main.ts"), directory, bucket, String(port)];
  const child = spawn(process.execPath, args, { detached: true, stdio: ["ignore", "pipe", "inherit"] });
  guardChild(child);
  return child;
}

function portOf(server: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    createInterface({ input: server.stdout! }).once("line", (line) => resolve(Number(line)));
    server.once("exit", (code) => reject(new Error(`the S3 server ended with ${code}`)));
  });
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
