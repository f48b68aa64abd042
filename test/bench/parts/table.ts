/** A table as GitHub and people read it. The first column is text, the others are numbers. */
export function renderTable(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = titles.map((title, at) => Math.max(title.length, ...rows.map((row) => row[at]!.length)));
  const line = (cells: readonly string[]): string => `| ${cells.map((cell, at) => (at === 0 ? cell.padEnd(widths[at]!) : cell.padStart(widths[at]!))).join(" | ")} |`;
  const rule = `|${widths.map((width, at) => (at === 0 ? "-".repeat(width + 2) : `${"-".repeat(width + 1)}:`)).join("|")}|`;
  return [line(titles), rule, ...rows.map(line)].join("\n");
}

export function printTable(titles: readonly string[], rows: readonly (readonly string[])[]): void {
  process.stdout.write(`\n${renderTable(titles, rows)}\n`);
}

export function round(value: number, digits = 1): string {
  return value.toFixed(digits);
}

export function thousands(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}
