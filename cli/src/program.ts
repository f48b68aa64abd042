import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import { laneNames } from "./test-lanes.ts";

/** The whole tree of commands; what a command does is loaded when it is called. */
export function buildProgram(): Command {
  const root = resolve(import.meta.dirname, "../..");
  const { version, description } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string; description: string };
  const program = new Command("hawser").description(description).version(version).exitOverride();
  const data = (): Option => new Option("--data <dir>", "directory of the stack").default(join(root, ".hawser/up"), ".hawser/up of the repository");

  program
    .command("demo")
    .description("the main job, for real: RocketMQ commands reach gateways over MQTT, their answers come back")
    .action(async () => (await import("./run-demo.ts")).runDemo());

  program
    .command("test")
    .description("set up what is missing and run tests")
    .argument("[lane|filter]", `a lane (${laneNames.join(", ")}) or a part of a test file's path; default everyday`)
    .action(async (what: string | undefined) => (await import("./run-tests.ts")).runTests(what));

  program
    .command("bench")
    .description("measure and print; without a name: what there is to measure")
    .argument("[name]")
    .action(async (name: string | undefined) => (await import("./run-bench.ts")).runBench(name));

  program
    .command("up")
    .description("run the stack in the foreground until Ctrl-C, or detached")
    .addOption(data())
    .option("--base-port <n>", "use ports n to n+199 only (default: a free block)", wholeNumber)
    .option("--ingress <n>", "ingress processes", wholeNumber, 1)
    .option("--session <n>", "session processes", wholeNumber, 1)
    .option("--router <n>", "router processes", wholeNumber, 1)
    .option("--csg-agent <n>", "csg-agent processes", wholeNumber, 1)
    .option("--rocketmq <real|off|endpoint>", "one of its own, none, or host:port of a RocketMQ 5 proxy (gRPC)", "real")
    .option("--plain", "the default instance takes any Client ID and any topic, without a password", false)
    .option("--set <key=value>", "override a setting of docs/configuration.md; may be repeated", collect, [])
    .option("--detach", "return when the stack is ready; hawser down stops it", false)
    .action(async (options) => (await import("./run-up.ts")).runUp(options));

  program
    .command("down")
    .description("stop the stack of a directory")
    .addOption(data())
    .action(async (options: { data: string }) => (await import("./run-down.ts")).runDown(options.data));

  program
    .command("status")
    .description("the processes of a stack: state, pid, restarts, ready")
    .addOption(data())
    .option("--json", "for programs", false)
    .action(async (options: { data: string; json: boolean }) => (await import("./run-status.ts")).runStatus(options));

  program
    .command("apply")
    .description("put a catalogue (YAML) into force")
    .requiredOption("-f, --file <file>", "the catalogue; - is stdin")
    .addOption(data())
    .option("--nats <url>", "of a NATS that is not a local stack's")
    .action(async (options: { file: string; data: string; nats?: string }) => (await import("./run-apply.ts")).runApply(options));

  return program;
}

function wholeNumber(text: string): number {
  if (!/^\d{1,6}$/.test(text)) throw new InvalidArgumentError("a whole number is needed.");
  return Number(text);
}

function collect(value: string, before: readonly string[]): string[] {
  return [...before, value];
}
