/** What a gateway's actor is told, and what it wants done: the two sides of the pure machine. */
import type {
  CommandError,
  DownlinkMessage,
  Lane,
  ReplyKind,
  ReplyMode,
  ReplyOrigin,
  UplinkMessage,
} from "@hawser/csg-protocol";
import type { Answer, PresenceEvent } from "@hawser/wire";
import type { CommandView } from "./command.ts";

/** A request that has passed its schema. */
export interface CommandRequest {
  readonly id: string;
  readonly method: string;
  readonly params: unknown;
  readonly bodyHash: string;
  readonly lane: Lane;
  readonly mutexKey: string | null;
  readonly reply: ReplyMode;
  readonly replyTopic: string;
  readonly echo: readonly (readonly [string, string])[];
  readonly principal: string;
  readonly traceparent: string;
  readonly bornAt: number;
  readonly queueTtlMs: number;
  readonly execMs: number;
}

export type DownlinkOutcome = "handed" | "offline" | "failed" | "unsent";

/** `answerTo`: the shell's number of the request that waits, 0 = nobody does. */
export type GatewayMessage =
  | { readonly kind: "submit"; readonly request: CommandRequest; readonly answerTo: number }
  | { readonly kind: "uplink"; readonly message: UplinkMessage; readonly publishedAt: number; readonly traceparent: string; readonly answerTo: number }
  | { readonly kind: "presence"; readonly event: PresenceEvent; readonly answerTo: number }
  | { readonly kind: "cancel"; readonly id: string; readonly answerTo: number }
  | { readonly kind: "get"; readonly id: string; readonly answerTo: number }
  | { readonly kind: "list"; readonly limit: number; readonly answerTo: number }
  | { readonly kind: "gateway"; readonly answerTo: number }
  /** The session owner's answer to a downlink; `failed`: no answer, it may have gone out; `unsent`: it certainly has not. */
  | { readonly kind: "outcome"; readonly id: string; readonly attempt: number; readonly state: DownlinkOutcome }
  | { readonly kind: "receipt"; readonly id: string; readonly attempt: number; readonly delivered: boolean }
  /** The log has (or has not) taken an owed reply. */
  | { readonly kind: "replied"; readonly id: string; readonly n: number; readonly stored: boolean }
  /** What a session owner says of the connection. */
  | { readonly kind: "probed"; readonly online: boolean; readonly clientIp: string; readonly answerTo: number }
  | { readonly kind: "tick" };

export interface Reply {
  readonly id: string;
  readonly method: string;
  readonly kind: ReplyKind;
  /** With id and kind it names the reply: a duplicate has the same. */
  readonly n: number;
  readonly status: number;
  readonly code: string;
  readonly reason: string;
  readonly origin: ReplyOrigin;
  readonly late: boolean;
  /** JSON. */
  readonly body: unknown;
  readonly problem: boolean;
  readonly topic: string;
  readonly echo: readonly (readonly [string, string])[];
  readonly traceparent: string;
}

export interface SubmitOutcome {
  readonly id: string;
  /** new, repeated (same id, same body), conflict (same id, other body). */
  readonly outcome: "new" | "repeated" | "conflict";
  readonly command?: CommandView;
  readonly error?: CommandError;
}

export type GatewayEffect =
  | { readonly kind: "answer"; readonly to: number; readonly answer: Answer<{ readonly [member: string]: unknown }> }
  /** `tracked`: report its outcome and receipt under this command and attempt. */
  | {
      readonly kind: "downlink";
      readonly message: DownlinkMessage;
      readonly tracked: { readonly id: string; readonly attempt: number } | null;
      readonly method: string;
      readonly traceparent: string;
    }
  /** `owed`: tell the machine how the append went. `answerTo`: answer ok only then. */
  | { readonly kind: "reply"; readonly reply: Reply; readonly owed: boolean; readonly answerTo: number }
  | { readonly kind: "command-event"; readonly command: CommandView }
  | { readonly kind: "presence-event"; readonly online: boolean; readonly at: number; readonly clientIp: string; readonly reason: string }
  | { readonly kind: "drop-session" }
  /** Ask the session owner whether the gateway is connected, and tell the machine. */
  | { readonly kind: "probe" }
  | { readonly kind: "audit"; readonly what: string; readonly id: string; readonly detail: string };
