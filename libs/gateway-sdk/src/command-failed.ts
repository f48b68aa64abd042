import type { CommandCode, CommandError } from "@hawser/csg-protocol";

/** Thrown by a handler that knows why its command failed. */
export class CommandFailed extends Error {
  override readonly name = "CommandFailed";
  readonly error: CommandError;

  /** @param code gRPC canonical code, as FAILED_PRECONDITION @param reason upper case with underscores, as SHARE_BUSY */
  constructor(code: CommandCode, reason: string, message: string, retryable = false) {
    super(message);
    this.error = { code, reason, message, retryable };
  }
}
