/**
 * An exception of a handler is a bug and ends the process. Thrown inside the client's read loop it
 * would only end the loop: the connection would look alive and hear nothing any more.
 */
export function throwLater(error: unknown): void {
  process.nextTick(() => {
    throw error;
  });
}
