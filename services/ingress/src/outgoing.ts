/** An envelope as the PUBLISH its receivers get, with the trace context of a sampled message for MQTT 5. */
import { appendUserProperty, OutgoingPublish } from "@hawser/mqtt";
import type { Span } from "@hawser/telemetry";
import { traceparentOf } from "@hawser/telemetry";
import type { Envelope } from "@hawser/wire";

export function outgoingOf(envelope: Envelope, span: Span | null): OutgoingPublish {
  const properties = span ? appendUserProperty(envelope.properties, "traceparent", traceparentOf(span)) : envelope.properties;
  return new OutgoingPublish({ topic: envelope.topic, payload: envelope.payload, properties });
}
