import type { Bus } from "@hawser/bus";
import { decodeLogEntry, streams } from "@hawser/wire";

const TIMEOUT_MS = 5_000;
/** JSNoMessageFoundErr */
const NO_MESSAGE = '"err_code":10037';

/** What stands at a place of the log: `gone` when it has been trimmed. */
export function findEntry(bus: Bus, partition: number, sequence: number, done: (found: "records" | "void" | "gone" | "unknown") => void): void {
  const request = Buffer.from(JSON.stringify({ seq: sequence }));
  bus.requestCallback(`$JS.API.STREAM.MSG.GET.${streams.log(partition)}`, request, TIMEOUT_MS, (error, answer) => {
    if (error) return done("unknown");
    const text = answer.toString();
    if (text.includes(NO_MESSAGE)) return done("gone");
    const { message } = JSON.parse(text) as { message?: { data?: string } };
    if (message?.data === undefined) return done("unknown");
    done(decodeLogEntry(Buffer.from(message.data, "base64")).kind);
  });
}
