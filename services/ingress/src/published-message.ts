import type { InboundPublish } from "@hawser/mqtt";

/** The parts of a publish that a will has too. */
export type PublishedMessage = Pick<InboundPublish, "topic" | "qos" | "retain" | "properties" | "payload">;
