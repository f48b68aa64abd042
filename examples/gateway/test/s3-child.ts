/** An S3 API on a directory, bucket `files`; prints its port. */
import { createRequire } from "node:module";

interface S3Server {
  run(): Promise<{ port: number }>;
}
/** The package has no types. */
const S3rver = createRequire(import.meta.url)("@20minutes/s3rver") as new (options: object) => S3Server;

const server = new S3rver({ port: 0, address: "127.0.0.1", silent: true, directory: process.argv[2], configureBuckets: [{ name: "files", configs: [] }] });
const { port } = await server.run();
process.stdout.write(`${port}\n`);
