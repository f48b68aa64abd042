/** Once per run of vitest, in its main process: servers that all test files share start when the first asks. */
import { serveSharedServers } from "@hawser/testkit/shared-servers";

export default async function setup(): Promise<() => Promise<void>> {
  const servers = await serveSharedServers();
  return () => servers.close();
}
