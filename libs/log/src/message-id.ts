/**
 * Every entry of the log, records or void, is appended with `Nats-Msg-Id: <origin>.<number>`, and
 * the stream keeps ids for two minutes: of the records and the void of a number the server stores
 * only one. So a void by somebody who took the origin for dead is never fatal: the origin, when it
 * lives on, is told that its append is a duplicate, looks, and does not acknowledge. An origin sends
 * records for at most GIVE_UP_MAX_MS, well within the window.
 */
export const MESSAGE_ID_WINDOW_MS = 120_000;
export const GIVE_UP_MAX_MS = 90_000;

export function messageId(origin: string, number: number): Record<string, string> {
  return { "Nats-Msg-Id": `${origin}.${number}` };
}
