import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, expect, it, vi } from "vitest";
import { cached } from "../src/cache.ts";
import { lockHolder, tryLock, unlock } from "../src/lock.ts";
import { isSupportedVersion, parseDebianMirror } from "../src/nats-binary.ts";
import { parseJavaVersion } from "../src/rocketmq-jars.ts";

const root = mkdtempSync(join(tmpdir(), "hawser-cache-"));
vi.stubEnv("HAWSER_CACHE", root);
beforeEach(() => rmSync(join(root, "thing"), { recursive: true, force: true }));
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(root, { recursive: true, force: true });
});

const ready = (place: string): boolean => existsSync(join(place, "file"));

it("fills a place once, however many ask at the same time", async () => {
  const fill = vi.fn((directory: string) => Promise.resolve(writeFileSync(join(directory, "file"), "x")));
  const places = await Promise.all([cached("thing", ready, fill), cached("thing", ready, fill)]);
  expect(places).toEqual([join(root, "thing"), join(root, "thing")]);
  expect(fill).toHaveBeenCalledTimes(1);
  expect(readdirSync(root)).toEqual(["thing"]);
});

it("leaves nothing of an attempt that failed, and can be tried again", async () => {
  const failing = (directory: string): Promise<void> => {
    writeFileSync(join(directory, "half"), "x");
    return Promise.reject(new Error("no network"));
  };
  await expect(cached("thing", ready, failing)).rejects.toThrow("no network");
  expect(readdirSync(root)).toEqual([]);
  await cached("thing", ready, (directory) => Promise.resolve(writeFileSync(join(directory, "file"), "y")));
  expect(readFileSync(join(root, "thing/file"), "utf8")).toBe("y");
});

it("takes a lock away from a process that is gone, and from nobody else", () => {
  const path = join(root, "lock");
  expect(tryLock(path)).toBe(true);
  expect(tryLock(path)).toBe(false);
  expect(lockHolder(path)).toBe(process.pid);
  unlock(path);
  expect(lockHolder(path)).toBeNull();

  mkdirSync(path);
  expect(lockHolder(path)).toBe(0); // somebody is about to write its pid
  writeFileSync(join(path, "pid"), "2147483646");
  expect(lockHolder(path)).toBeNull();
  expect(existsSync(path)).toBe(false);
});

it("takes nats-server from 2.12 on", () => {
  expect(["v2.12.0", "v2.15.2", "v3.0.0"].map((version) => isSupportedVersion(`nats-server: ${version}`))).toEqual([true, true, true]);
  expect(["v2.9.10", "v2.11.9", "v1.99.0"].map((version) => isSupportedVersion(`nats-server: ${version}`))).toEqual([false, false, false]);
  expect(isSupportedVersion("")).toBe(false);
});

it("finds the main Debian archive in both forms of apt's sources", () => {
  const deb822 = "Types: deb\nURIs: http://mirror.example/debian-security\nSuites: x-security\n\nTypes: deb\nURIs: http://mirror.example/debian\nSuites: x\n";
  const oneLine = "# deb http://old.example/debian x main\ndeb [arch=amd64] http://mirror.example/debian/ x main\n";
  expect(parseDebianMirror(deb822)).toBe("http://mirror.example/debian");
  expect(parseDebianMirror(oneLine)).toBe("http://mirror.example/debian/");
  expect(parseDebianMirror("deb http://mirror.example/ubuntu x main")).toBeNull();
});

it("reads Java's version", () => {
  expect(parseJavaVersion("openjdk 17.0.15 2025-04-15")).toBe(17);
  expect(parseJavaVersion("java 21 2023-09-19 LTS")).toBe(21);
  expect(parseJavaVersion("what?")).toBeNull();
});
