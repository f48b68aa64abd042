export type BusErrorKind = "no-responders" | "timeout" | "disconnected";

/**
 * Why a request has no answer. `no-responders`: nobody listens, as far as this server knows (in a
 * cluster a new subscription takes a moment to get around). The other two say nothing about whether
 * the request was received.
 */
export class BusError extends Error {
  override readonly name = "BusError";
  readonly kind: BusErrorKind;

  constructor(kind: BusErrorKind, subject: string) {
    super(`${subject}: ${kind}`);
    this.kind = kind;
  }
}
