export type BusErrorKind = "no-responders" | "timeout" | "disconnected";

/** Why a request has no answer. `no-responders` is certain, the other two are not. */
export class BusError extends Error {
  override readonly name = "BusError";
  readonly kind: BusErrorKind;

  constructor(kind: BusErrorKind, subject: string) {
    super(`${subject}: ${kind}`);
    this.kind = kind;
  }
}
