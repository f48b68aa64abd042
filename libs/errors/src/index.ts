/**
 * The coded errors of Hawser: one table, one class. Owns no text of other libraries and does no
 * I/O. Throw for bugs and for what stops a start; expected outcomes are results, not errors.
 */
export * from "./error-table.ts";
export * from "./hawser-error.ts";
