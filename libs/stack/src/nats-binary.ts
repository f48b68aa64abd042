/**
 * Finds a nats-server of 2.12 or newer: PATH, the cache, else it is fetched: built by Go when that
 * is there, else unpacked from Debian's package (nothing is installed and nothing in /etc changes).
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, chmodSync, mkdirSync, readFileSync, readdirSync, existsSync, writeFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { errorLine, HawserError } from "@hawser/errors";
import { cached, cacheDir } from "./cache.ts";
import { findProgram, isExecutable, progress, runProgram } from "./run-program.ts";

const VERSION = "2.15.2";
const REMEDY = "install nats-server 2.12 or newer, or Go 1.24 or newer, and start again";

let found: Promise<string> | undefined;

/** Absolute path; looked for once per process. @throws HawserError HAWSER_E_PREREQUISITE in one line */
export function natsServerBinary(): Promise<string> {
  return (found ??= locate());
}

async function locate(): Promise<string> {
  const onPath = findProgram("nats-server");
  if (onPath && isNewEnough(onPath)) return onPath;
  const place = await cached(`nats-server-${VERSION}`, (at) => isExecutable(join(at, "nats-server")), fetchInto);
  return join(place, "nats-server");
}

async function fetchInto(directory: string): Promise<void> {
  const problems: string[] = [];
  for (const way of [buildWithGo, unpackFromDebian]) {
    try {
      if (await way(directory)) return;
    } catch (error) {
      problems.push(errorLine(error));
    }
  }
  throw new HawserError("HAWSER_E_PREREQUISITE", `nats-server is missing and could not be fetched${problems.length > 0 ? ` (${problems.join("; ")})` : ""}: ${REMEDY}`);
}

function isNewEnough(path: string): boolean {
  try {
    return isSupportedVersion(execFileSync(path, ["--version"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }));
  } catch {
    return false;
  }
}

/** @param text as `nats-server --version` writes it: `nats-server: v2.15.2` */
export function isSupportedVersion(text: string): boolean {
  const match = /v(\d+)\.(\d+)\./.exec(text);
  return match !== null && (Number(match[1]) > 2 || (Number(match[1]) === 2 && Number(match[2]) >= 12));
}

async function buildWithGo(directory: string): Promise<boolean> {
  const go = findProgram("go") ?? (isExecutable("/usr/local/go/bin/go") ? "/usr/local/go/bin/go" : null);
  if (!go) return false;
  progress(`building nats-server ${VERSION} with Go (once, about a minute)`);
  const bin = join(directory, "bin");
  await runProgram(go, ["install", `github.com/nats-io/nats-server/v2@v${VERSION}`], {
    env: { ...process.env, GOBIN: bin, CGO_ENABLED: "0", GOFLAGS: "-trimpath" },
    timeoutMs: 15 * 60_000,
  });
  adopt(join(bin, "nats-server"), directory);
  rmSync(bin, { recursive: true, force: true });
  return true;
}

/** The machine's own Debian mirror, at suite sid, through an apt configuration of our own. */
async function unpackFromDebian(directory: string): Promise<boolean> {
  const mirror = debianMirror();
  if (!mirror || !findProgram("apt-get") || !findProgram("dpkg-deb")) return false;
  progress("fetching nats-server from Debian's package (once, about 20 s)");
  const apt = join(cacheDir(), "apt");
  for (const part of ["lists/partial", "cache/archives/partial"]) mkdirSync(join(apt, part), { recursive: true });
  writeFileSync(join(apt, "sources.list"), `deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror} sid main\n`);
  writeFileSync(
    join(apt, "apt.conf"),
    [
      `Dir::Etc::sourcelist "${apt}/sources.list";`,
      `Dir::Etc::sourceparts "-";`,
      `Dir::State::lists "${apt}/lists";`,
      `Dir::Cache "${apt}/cache";`,
      `Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";`,
      `Acquire::Languages "none";`,
      `APT::Sandbox::User "";`,
      "",
    ].join("\n"),
  );
  const env = { ...process.env, APT_CONFIG: join(apt, "apt.conf") };
  await runProgram("apt-get", ["update", "-qq"], { env, timeoutMs: 5 * 60_000 });
  await runProgram("apt-get", ["download", "-qq", "nats-server"], { env, cwd: directory, timeoutMs: 5 * 60_000 });
  const archive = readdirSync(directory).find((name) => name.endsWith(".deb"));
  if (!archive) return false;
  const unpacked = join(directory, "unpacked");
  await runProgram("dpkg-deb", ["-x", join(directory, archive), unpacked]);
  adopt(join(unpacked, "usr/sbin/nats-server"), directory);
  rmSync(unpacked, { recursive: true, force: true });
  rmSync(join(directory, archive));
  return true;
}

function adopt(binary: string, directory: string): void {
  const target = join(directory, "nats-server");
  copyFileSync(binary, target);
  chmodSync(target, 0o755);
  if (!isNewEnough(target)) throw new HawserError("HAWSER_E_PREREQUISITE", `the nats-server that was fetched is too old or does not run here`);
}

function debianMirror(): string | null {
  for (const file of ["/etc/apt/sources.list", "/etc/apt/sources.list.d/debian.sources"]) {
    if (!existsSync(file)) continue;
    const mirror = parseDebianMirror(readFileSync(file, "utf8"));
    if (mirror) return mirror;
  }
  return null;
}

/** Of a sources.list or a deb822 file: the address of the main archive. */
export function parseDebianMirror(text: string): string | null {
  for (const line of text.split("\n")) {
    const address = /^URIs:\s*(\S+)/.exec(line)?.[1] ?? /^deb\s+(?:\[[^\]]*\]\s+)?(\S+)/.exec(line)?.[1];
    if (address && /debian\/?$/.test(address) && !address.includes("security")) return address;
  }
  return null;
}
