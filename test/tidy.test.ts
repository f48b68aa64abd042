/** Guards the directions of the tree, dead files and dead links. Taste is for reviewers. */
import { existsSync, readFileSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { dirname, join, resolve } from "node:path";
import { describe, expect, it } from "vitest";

const root = resolve(import.meta.dirname, "..");
const tracked = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], { cwd: root, encoding: "utf8" })
  .split("\n")
  .filter((path) => path !== "" && existsSync(join(root, path)));
const sources = tracked.filter((path) => path.endsWith(".ts"));

const IMPORT = /(?:^|\n)\s*(?:import|export)\s[^"';]*?from\s+"([^"]+)"|import\("([^"]+)"\)|(?:^|\n)import\s+"([^"]+)"/g;

function importsOf(path: string): string[] {
  const text = readFileSync(join(root, path), "utf8");
  return [...text.matchAll(IMPORT)].map((match) => match[1] ?? match[2] ?? match[3] ?? "");
}

/** `services/ingress`, `libs/wire`, `cli`, `test` ... */
function roomOf(path: string): string {
  const [first, second] = path.split("/");
  return first === "services" || first === "libs" || first === "examples" ? `${first}/${second}` : (first ?? "");
}

function targetRoom(from: string, specifier: string): string | null {
  if (specifier.startsWith("@hawser/")) {
    const name = specifier.split("/")[1]!;
    return ["libs", "services", "examples"].map((folder) => `${folder}/${name}`).find((room) => existsSync(join(root, room))) ?? name;
  }
  if (specifier.startsWith(".")) return roomOf(join(dirname(from), specifier));
  return null;
}

describe("the tree", () => {
  it("has services that do not import each other", () => {
    const wrong = sources
      .filter((path) => path.startsWith("services/"))
      .flatMap((path) => importsOf(path).map((specifier) => [path, targetRoom(path, specifier)] as const))
      .filter(([path, room]) => room?.startsWith("services/") && room !== roomOf(path));
    expect(wrong).toEqual([]);
  });

  it("has libs that import no service, no example and not the command line", () => {
    const wrong = sources
      .filter((path) => path.startsWith("libs/"))
      .flatMap((path) => importsOf(path).map((specifier) => [path, targetRoom(path, specifier)] as const))
      .filter(([, room]) => room !== null && /^(services|examples)\/|^cli$/.test(room));
    expect(wrong).toEqual([]);
  });

  it("reaches another package by its name, not by its path", () => {
    const wrong = sources
      .filter((path) => /^(services|libs)\/[^/]+\/src\//.test(path))
      .flatMap((path) => importsOf(path).filter((s) => s.startsWith(".") && targetRoom(path, s) !== roomOf(path)).map((s) => [path, s]));
    expect(wrong).toEqual([]);
  });

  it("has no dead source file: each is imported, is an entry point, or is a test", () => {
    const imported = new Set(
      sources.flatMap((path) => importsOf(path).filter((s) => s.startsWith(".")).map((s) => join(dirname(path), s))),
    );
    const named = tracked.filter((path) => /(\.json|\.ya?ml|\.sh|Dockerfile|hawser|\.ts|\.tpl)$/.test(path)).map((p) => readFileSync(join(root, p), "utf8"));
    const dead = sources.filter(
      (path) =>
        !imported.has(path) &&
        !/\/(main|index)\.ts$|\.test\.ts$|\.config\.ts$|\.d\.ts$|^test\/bench\//.test(path) &&
        !named.some((text) => text.includes(path.split("/").at(-1)!)),
    );
    expect(dead).toEqual([]);
  });

  it("declares every package it imports", () => {
    const wrong: string[] = [];
    for (const path of sources.filter((p) => /^(services|libs|examples|cli)\//.test(p) && !p.includes("/test/"))) {
      const room = roomOf(path);
      const manifest = JSON.parse(readFileSync(join(root, room, "package.json"), "utf8")) as { name: string; dependencies?: object };
      for (const specifier of importsOf(path)) {
        if (specifier.startsWith(".") || specifier.startsWith("node:")) continue;
        const name = specifier.startsWith("@") ? specifier.split("/").slice(0, 2).join("/") : specifier.split("/")[0]!;
        if (name !== manifest.name && !(name in (manifest.dependencies ?? {}))) wrong.push(`${path}: ${name}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it("sets every metric it declares", () => {
    const declared = [...readFileSync(join(root, "libs/telemetry/src/metric-names.ts"), "utf8").matchAll(/^ {2}(\w+): metric\(/gm)].map((match) => match[1]!);
    const code = sources.filter((path) => /^(services|libs)\/[^/]+\/src\//.test(path)).map((path) => readFileSync(join(root, path), "utf8")).join("\n");
    expect(declared.filter((name) => !new RegExp(`metricNames\\.${name}\\b`).test(code))).toEqual([]);
  });

  it("explains every dependency in docs/dependencies.md", () => {
    const text = readFileSync(join(root, "docs/dependencies.md"), "utf8");
    const names = new Set<string>();
    for (const path of tracked.filter((p) => p.endsWith("package.json"))) {
      const manifest = JSON.parse(readFileSync(join(root, path), "utf8")) as Record<string, Record<string, string> | undefined>;
      for (const group of ["dependencies", "devDependencies"]) {
        for (const [name, version] of Object.entries(manifest[group] ?? {})) {
          if (name.startsWith("@hawser/")) continue;
          names.add(name);
          expect(version, `${path}: ${name} is pinned`).toMatch(/^\d+\.\d+\.\d+$/);
        }
      }
    }
    expect([...names].filter((name) => !text.includes(`\`${name}\``))).toEqual([]);
  });

  it("has no dead link in its documents", () => {
    const dead: string[] = [];
    for (const path of tracked.filter((p) => p.endsWith(".md"))) {
      for (const [, target] of readFileSync(join(root, path), "utf8").matchAll(/\]\(([^)#\s]+)[^)]*\)/g)) {
        if (/^[a-z]+:/.test(target!)) continue;
        if (!existsSync(join(root, dirname(path), target!))) dead.push(`${path}: ${target}`);
      }
    }
    expect(dead).toEqual([]);
  });
});
