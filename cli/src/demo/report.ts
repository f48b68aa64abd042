/** What a person reads at the end: one row per expectation, and whether it held. */
export interface Expectation {
  readonly what: string;
  readonly gateway: string;
  /** `QUEUED 0 > SENT 3 > ... ms`, or empty. */
  readonly states: string;
  readonly result: string;
  readonly held: boolean;
}

export function renderTable(rows: readonly Expectation[]): string[] {
  const columns = [
    ["", rows.map(({ held }) => (held ? "ok" : "NO"))],
    ["command", rows.map(({ what }) => what)],
    ["gateway", rows.map(({ gateway }) => gateway)],
    ["result", rows.map(({ result }) => result)],
    ["states, ms after the first", rows.map(({ states }) => states)],
  ] as const;
  const widths = columns.map(([title, cells]) => Math.max(title.length, ...cells.map((cell) => cell.length)));
  const line = (cells: readonly string[]): string => cells.map((cell, at) => cell.padEnd(widths[at]!)).join("  ").trimEnd();
  return [
    line(columns.map(([title]) => title)),
    line(widths.map((width) => "-".repeat(width))),
    ...rows.map((_, row) => line(columns.map(([, cells]) => cells[row]!))),
  ];
}

export function renderStates(history: readonly { readonly state: string; readonly at: number }[]): string {
  const begin = history[0]?.at ?? 0;
  return history.map(({ state, at }) => `${state} ${at - begin}`).join(" > ");
}
