/**
 * Nothing outlives the process that started it, not even when that is killed with SIGKILL: one
 * small shell per process holds the list of what was started and waits on a pipe. When the pipe
 * ends, its other side is gone, and the shell kills what is left. It runs in a session of its own,
 * so a Ctrl-C does not reach it; each child is the leader of its own process group, so that what
 * a child has started goes with it.
 */
import { type ChildProcess, spawn } from "node:child_process";
import type { Writable } from "node:stream";

const SCRIPT = `
list=" "
while read -r verb pid; do
  case $verb in
    +) list="$list$pid " ;;
    -) list="\${list%% $pid *} \${list#* $pid }" ;;
  esac
done
for pid in $list; do kill -9 -"$pid" 2>/dev/null || kill -9 "$pid" 2>/dev/null; done
`;

let guard: Writable | undefined;

/** From now on the child, started with `detached: true`, dies with this process. */
export function guardChild(child: ChildProcess): void {
  const { pid } = child;
  if (pid === undefined) return;
  guard ??= startGuard();
  guard.write(`+ ${pid}\n`);
  child.once("exit", () => guard?.write(`- ${pid}\n`));
}

function startGuard(): Writable {
  const shell = spawn("sh", ["-c", SCRIPT], { detached: true, stdio: ["pipe", "ignore", "ignore"] });
  shell.unref();
  const { stdin } = shell;
  (stdin as unknown as { unref(): void }).unref();
  stdin.on("error", () => undefined); // the guard was killed: nothing more can be promised
  return stdin;
}
