import { appendFile, mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { COMMAND_LIFE_MAX_MS } from "@hawser/csg-protocol";
import { JournalDamaged, type JournalEntry, JournalFile, JournalState } from "@hawser/gateway-sdk";

const started = (id: string, seq: number): JournalEntry => ({ t: "started", id, lane: "task", seq, method: "m", idempotent: false, at: 1_000 });
const done = (id: string, seq: number): JournalEntry => ({ t: "done", id, lane: "task", seq, at: 2_000, result: { ok: id } });

describe("the journal on disk", () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "hawser-journal-"));
  });
  afterEach(async () => {
    await rm(directory, { recursive: true, force: true });
  });

  async function reopen(): Promise<JournalState> {
    const journal = await JournalFile.open(directory, "never used");
    await journal.close();
    return journal.state;
  }

  async function write(entries: readonly JournalEntry[]): Promise<string> {
    const journal = await JournalFile.open(directory, "install-1");
    await journal.append(entries, true);
    await journal.close();
    return journal.path;
  }

  it("what was appended is there after a restart, under the same install id", async () => {
    await write([started("a", 1), done("a", 1), started("b", 2), { t: "acked", ids: ["a"] }]);
    const state = await reopen();
    expect(state.installId).toBe("install-1");
    expect(state.records.get("a")).toMatchObject({ state: "done", result: { ok: "a" }, acked: true, method: "m" });
    expect(state.records.get("b")).toMatchObject({ state: "started" });
    expect(state.high.task).toBe(2);
  });

  it("a torn last line is cut off, whatever byte it ends at, and writing goes on behind the good part", async () => {
    const path = await write([started("a", 1)]);
    const whole = await readFile(path);
    await write([started("b", 2)]);
    const both = await readFile(path);
    for (const size of [whole.length + 1, whole.length + 8, both.length - 1]) {
      await writeFile(path, both);
      await truncate(path, size);
      await write([started("c", 3)]);
      expect([...(await reopen()).records.keys()]).toEqual(["a", "c"]);
    }
  });

  it("a broken line before the end stops the program", async () => {
    const path = await write([started("a", 1), started("b", 2)]);
    const bytes = await readFile(path);
    bytes[bytes.indexOf("started") + 2] = 0x58;
    await writeFile(path, bytes);
    await expect(reopen()).rejects.toThrow(JournalDamaged);
  });

  it("a compacted journal means the same, and what it forgot is below the mark", async () => {
    const journal = await JournalFile.open(directory, "install-1");
    for (const entry of [started("old", 5), done("old", 5), { t: "acked", ids: ["old"] } as const, started("kept", 3), done("kept", 3), { t: "never", id: "n", at: 1_000 } as const]) {
      journal.state.apply(entry);
      await journal.append([entry], false);
    }
    await journal.rewrite(2_001 + COMMAND_LIFE_MAX_MS);
    await journal.append([started("after", 9)], true);
    await journal.close();
    const state = await reopen();
    expect([...state.records.keys()]).toEqual(["kept", "after"]);
    expect(state.records.get("kept")).toMatchObject({ state: "done", acked: false, result: { ok: "kept" }, method: "m" });
    expect(state.marks).toEqual({ query: 0, config: 0, task: 5 });
    expect(state.installId).toBe("install-1");
  });

  it("garbage behind the last line does not hide what came before", async () => {
    const path = await write([started("a", 1)]);
    await appendFile(path, Buffer.from([0, 0, 0, 0, 0]));
    expect([...(await reopen()).records.keys()]).toEqual(["a"]);
  });
});

describe("what may be forgotten", () => {
  it("a result that is not acknowledged is kept for ever, an acknowledged one for the life of a command", () => {
    const state = new JournalState();
    for (const entry of [started("a", 1), done("a", 1), started("b", 2), done("b", 2)]) state.apply(entry);
    state.apply({ t: "acked", ids: ["a"] });
    expect(state.prune(2_000 + COMMAND_LIFE_MAX_MS - 1)).toBe(false);
    expect(state.prune(2_000 + COMMAND_LIFE_MAX_MS)).toBe(true);
    expect([...state.records.keys()]).toEqual(["b"]);
    expect(state.marks.task).toBe(1);
  });

  it("beyond ten thousand entries acknowledged young ones go too, oldest first", () => {
    const state = new JournalState();
    for (let n = 1; n <= 10_002; n++) state.apply(done(`id${n}`, n));
    state.apply({ t: "acked", ids: ["id1", "id2", "id3"] });
    state.prune(2_000);
    expect([state.records.has("id1"), state.records.has("id2"), state.records.has("id3")]).toEqual([false, false, true]);
    expect(state.marks.task).toBe(2);
  });
});
