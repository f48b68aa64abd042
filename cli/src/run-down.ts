import { resolve } from "node:path";
import { progress, stopStack } from "@hawser/stack";

export async function runDown(data: string): Promise<void> {
  const directory = resolve(data);
  if (!(await stopStack(directory))) progress(`no stack runs in ${directory}`);
}
