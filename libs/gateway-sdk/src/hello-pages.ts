import { HELLO_JOURNAL_MAX, type HelloMessage, type JournalMember, type Method, PROTOCOL_VERSION } from "@hawser/csg-protocol";
import type { JournalState } from "./journal-entries.ts";

export interface HelloSource {
  readonly bootId: string;
  readonly agent: { readonly name: string; readonly version: string };
  readonly methods: ReadonlyMap<string, Method>;
}

/** What a connection begins with: who runs here, and what the journal still has to tell, newest first, 200 members a message. */
export function helloPages(journal: JournalState, { bootId, agent, methods }: HelloSource): HelloMessage[] {
  const members: JournalMember[] = [];
  for (const { id, state, code, acked } of journal.records.values()) {
    if (state === "started") members.push({ id, state });
    else if (state === "done" && !acked) members.push({ id, state, code: code ?? "OK" });
  }
  members.reverse();
  const pages: HelloMessage[] = [];
  for (let at = 0; at === 0 || at < members.length; at += HELLO_JOURNAL_MAX) {
    pages.push({
      v: 1,
      k: "hello",
      bootId,
      installId: journal.installId,
      agent,
      proto: [PROTOCOL_VERSION],
      methods: Object.fromEntries([...methods.values()].map((method) => [method.name, method.schemaHash])),
      high: { ...journal.high },
      journal: members.slice(at, at + HELLO_JOURNAL_MAX),
      more: at + HELLO_JOURNAL_MAX < members.length,
      versions: {},
    });
  }
  return pages;
}
