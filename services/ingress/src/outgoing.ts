/** An envelope as the PUBLISH its receivers get, with the trace context of a sampled message for MQTT 5. */
import { OutgoingPublish } from "@hawser/mqtt";
import { traceparentOf, type Span } from "@hawser/telemetry";
import type { Envelope } from "@hawser/wire";
import { withTraceparent } from "./trace-property.ts";

export function outgoingOf(envelope: Envelope, span: Span | null): OutgoingPublish {
  const traceparent = traceparentOf(span);
  const properties = traceparent === null ? envelope.properties : withTraceparent(envelope.properties, traceparent);
  return new OutgoingPublish({ topic: envelope.topic, payload: envelope.payload, properties, receivedAtMs: envelope.publishedAtMs });
}
