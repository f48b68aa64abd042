import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { Bus } from "@hawser/bus";
import { parseCatalogYaml, publishCatalog } from "@hawser/catalog";
import { errorLine, HawserError } from "@hawser/errors";
import { type StackState, stateFilePath } from "@hawser/stack";

export async function runApply(options: { readonly file: string; readonly data: string; readonly nats?: string }): Promise<void> {
  const document = parseCatalogYaml(readText(options.file));
  const bus = await Bus.connect({ url: options.nats ?? natsOf(resolve(options.data)), name: "hawser-apply" });
  try {
    const { changed, removed, unchanged } = await publishCatalog(bus, document);
    for (const { id, version } of changed) process.stdout.write(`instance ${id}: version ${version}\n`);
    for (const id of removed) process.stdout.write(`instance ${id}: removed\n`);
    for (const id of unchanged) process.stdout.write(`instance ${id}: unchanged\n`);
  } finally {
    await bus.close();
  }
}

function readText(file: string): string {
  try {
    return readFileSync(file === "-" ? 0 : file, "utf8");
  } catch (cause) {
    throw new HawserError("HAWSER_E_CONFIG_FILE", `${file}: ${errorLine(cause)}`, { cause });
  }
}

function natsOf(data: string): string {
  try {
    const { endpoints } = JSON.parse(readFileSync(stateFilePath(data), "utf8")) as StackState;
    return `nats://${endpoints.nats}`;
  } catch {
    throw new HawserError("HAWSER_E_NATS_CONNECT", `no stack is ready in ${data}: start one with hawser up, or name its NATS with --nats`);
  }
}
