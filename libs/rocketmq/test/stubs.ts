/** The generated code of the client package: what the hand-written one is compared with. */
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const base = "rocketmq-client-nodejs/proto/apache/rocketmq/v2/";
export const service = require(`${base}service_pb.js`) as Record<string, any>;
export const definition = require(`${base}definition_pb.js`) as Record<string, any>;
const ofClient = createRequire(require.resolve("rocketmq-client-nodejs"));
export const { Timestamp } = ofClient("google-protobuf/google/protobuf/timestamp_pb") as Record<string, any>;

export const bytesOf = (message: { serializeBinary(): Uint8Array }): Buffer => Buffer.from(message.serializeBinary());
export const resource = (name: string): any => new definition["Resource"]().setName(name);
export const status = (code: number, message: string): any => new definition["Status"]().setCode(code).setMessage(message);
