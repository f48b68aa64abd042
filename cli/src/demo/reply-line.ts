/** A reply as examples/control-plane prints it. */
export interface ReplyLine {
  readonly id: string;
  readonly gateway: string;
  readonly kind: string;
  readonly status: number;
  readonly code: string;
  readonly reason: string | null;
  readonly origin: string;
  readonly body: unknown;
  readonly at: number;
}
