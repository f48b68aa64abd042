import { existsSync, globSync } from "node:fs";
import { basename, join, resolve } from "node:path";

const directory = resolve(import.meta.dirname, "../../test/bench");

/** Runs test/bench/<name>.ts, which prints its table. */
export async function runBench(name: string | undefined): Promise<void> {
  const names = globSync("*.ts", { cwd: directory }).map((file) => basename(file, ".ts")).sort();
  if (name === undefined) {
    process.stdout.write(names.length > 0 ? `${names.join("\n")}\n` : "there is no benchmark yet\n");
    return;
  }
  const file = join(directory, `${name}.ts`);
  if (!/^[-a-z0-9]+$/.test(name) || !existsSync(file)) {
    process.stderr.write(`hawser: there is no benchmark ${name}; there are: ${names.join(", ") || "none yet"}\n`);
    process.exit(2);
  }
  await import(file);
}
