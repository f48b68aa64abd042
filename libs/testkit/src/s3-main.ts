/**
 * The S3 server as a process of its own: `node --openssl-legacy-provider s3-main.ts DIRECTORY BUCKET PORT`
 * prints its port. Its own, because the package makes the tokens of truncated listings with DES, which
 * OpenSSL 3 gives only to a process that asks for it.
 */
import { createRequire } from "node:module";

interface S3rver {
  run(): Promise<{ port: number }>;
}

const [directory, bucket, port] = process.argv.slice(2);
const Server = createRequire(import.meta.url)("@20minutes/s3rver") as new (options: object) => S3rver;
const server = new Server({ address: "127.0.0.1", port: Number(port), silent: true, directory, configureBuckets: [{ name: bucket, configs: [] }] });
const { port: listening } = await server.run();
process.stdout.write(`${listening}\n`);
