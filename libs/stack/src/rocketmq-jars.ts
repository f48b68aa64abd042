/**
 * RocketMQ from its own jars: Maven resolves them (rocketmq/pom.xml), and the small class that
 * starts all of it in one JVM is compiled once. About 110 MB, kept in the cache.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { HawserError } from "@hawser/errors";
import { cached } from "./cache.ts";
import { findProgram, isExecutable, progress, runProgram } from "./run-program.ts";

const SOURCES = resolve(import.meta.dirname, "../rocketmq");
const LEAST_JAVA = 17;
const MAIN_CLASS = "LocalRocketMq";
const FEWEST_JARS = 100;
/** A new layout of the cached place, or another version in pom.xml, needs another name. */
const PLACE = "rocketmq-5.5.0-1";

export interface RocketMqBinary {
  readonly java: string;
  readonly classPath: string;
  readonly mainClass: string;
}

let found: Promise<RocketMqBinary> | undefined;

/** Looked for once per process. @throws HawserError HAWSER_E_PREREQUISITE, one line with the remedy */
export function rocketMqBinary(): Promise<RocketMqBinary> {
  return (found ??= locate());
}

async function locate(): Promise<RocketMqBinary> {
  const java = findJava();
  const place = await cached(PLACE, isComplete, (directory) => fetchInto(directory, java));
  return { java, classPath: `${join(place, "classes")}:${join(place, "lib")}/*`, mainClass: MAIN_CLASS };
}

function isComplete(place: string): boolean {
  return existsSync(join(place, "classes", `${MAIN_CLASS}.class`)) && readdirSync(join(place, "lib")).length >= FEWEST_JARS;
}

async function fetchInto(directory: string, java: string): Promise<void> {
  const maven = findProgram("mvn");
  if (!maven) throw new HawserError("HAWSER_E_PREREQUISITE", "RocketMQ needs Maven (mvn) to fetch its jars: install Maven, or use --rocketmq off");
  progress("fetching RocketMQ 5.5.0 with Maven (once, about 110 MB)");
  const lib = join(directory, "lib");
  const classes = join(directory, "classes");
  mkdirSync(classes);
  copyFileSync(join(SOURCES, "pom.xml"), join(directory, "pom.xml"));
  const version = /<ecj\.version>(.*?)</.exec(readFileSync(join(SOURCES, "pom.xml"), "utf8"))![1]!;
  await runProgram(
    maven,
    ["-q", "-B", "-f", join(directory, "pom.xml"), "dependency:copy-dependencies", "-DincludeScope=runtime", `-DoutputDirectory=${lib}`],
    { timeoutMs: 20 * 60_000 },
  );
  const compiler = join(lib, `ecj-${version}.jar`);
  await runProgram(java, ["-jar", compiler, "-17", "-nowarn", "-cp", jarsOf(lib), "-d", classes, join(SOURCES, `${MAIN_CLASS}.java`)], { timeoutMs: 120_000 });
  progress("RocketMQ is there");
}

/** The compiler takes no wildcard. */
function jarsOf(lib: string): string {
  return readdirSync(lib)
    .filter((name) => name.endsWith(".jar"))
    .map((name) => join(lib, name))
    .join(":");
}

function findJava(): string {
  const home = process.env["JAVA_HOME"];
  const candidates = [...(home ? [join(home, "bin", "java")] : []), findProgram("java")];
  const java = candidates.find((path): path is string => path !== null && isExecutable(path));
  const remedy = `install a Java runtime, ${LEAST_JAVA} or newer, or use --rocketmq off`;
  if (!java) throw new HawserError("HAWSER_E_PREREQUISITE", `RocketMQ needs Java: ${remedy}`);
  const version = javaVersion(java);
  if (version === null) throw new HawserError("HAWSER_E_PREREQUISITE", `RocketMQ needs Java, but ${java} does not run: ${remedy}`);
  if (version < LEAST_JAVA) throw new HawserError("HAWSER_E_PREREQUISITE", `RocketMQ needs Java ${LEAST_JAVA} or newer, ${java} is ${version}: ${remedy}`);
  return java;
}

function javaVersion(java: string): number | null {
  try {
    // -version writes to stderr, --version (since 9) to stdout; 8 does not know it
    return parseJavaVersion(execFileSync(java, ["--version"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }));
  } catch {
    return null;
  }
}

/** `openjdk 17.0.15 2025-04-15` -> 17 */
export function parseJavaVersion(text: string): number | null {
  const match = /\b(\d+)(?:[.\-+]\S*)?\b/.exec(text);
  return match ? Number(match[1]) : null;
}
