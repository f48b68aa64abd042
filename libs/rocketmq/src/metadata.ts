/**
 * The gRPC headers of every call. The proxy checks the signature against the time they name and
 * not that time against its clock, so one set serves for the life of a client.
 */
import { createHmac, randomUUID } from "node:crypto";
import { Metadata } from "@grpc/grpc-js";

export interface RocketMqCredentials {
  readonly accessKey: string;
  readonly secretKey: string;
}

/** The version of the client whose protocol this is. */
const CLIENT_VERSION = "5.0.0";

/** @param now ms since 1970 */
export function requestMetadata(clientId: string, credentials: RocketMqCredentials | undefined, now: number): Metadata {
  const metadata = new Metadata();
  // 20210309T195445Z
  const dateTime = new Date(now).toISOString().replaceAll(/[-:]|\.\d+/g, "");
  metadata.set("x-mq-protocol", "v2");
  metadata.set("x-mq-client-id", clientId);
  metadata.set("x-mq-date-time", dateTime);
  metadata.set("x-mq-request-id", randomUUID());
  // no language of its own: the proxy's table of languages does not know Node
  metadata.set("x-mq-language", "HTTP");
  metadata.set("x-mq-client-version", CLIENT_VERSION);
  if (credentials) {
    const signature = createHmac("sha1", credentials.secretKey).update(dateTime).digest("hex").toUpperCase();
    metadata.set("authorization", `MQv2-HMAC-SHA1 Credential=${credentials.accessKey}, SignedHeaders=x-mq-date-time, Signature=${signature}`);
  }
  return metadata;
}
