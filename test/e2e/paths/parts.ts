import type { ReceivedMessage } from "@hawser/rocketmq";
import type { OtlpSink, TestStack } from "@hawser/testkit";
import type { BusinessSide } from "../kit/business-side.ts";
import type { GatewayProgram } from "../kit/gateway-program.ts";

/** What the tests of the main paths share: one stack, one business side. */
export interface Parts {
  readonly stack: TestStack;
  readonly sink: OtlpSink;
  readonly business: BusinessSide;
  /** Messages of the outbound rule's topic. */
  readonly uplink: readonly ReceivedMessage[];
  /** Status events. */
  readonly presence: readonly ReceivedMessage[];
  readonly gateways: readonly GatewayProgram[];
}

export type PartsNow = () => Parts;
