import { defineConfig } from "vitest/config";
import { laneOf, longLanes } from "./cli/src/test-lanes.ts";

const { include, exclude } = laneOf("everyday")!;
/** `npx vitest run test/chaos` runs a long lane, `npx vitest run` does not. */
const asked = longLanes.filter((lane) => process.argv.some((argument) => argument.includes(`test/${lane}`)));

export default defineConfig({
  test: {
    include: [...include],
    exclude: ["**/node_modules/**", ...exclude.filter((pattern) => !asked.some((lane) => pattern.includes(lane)))],
    globalSetup: "./test/setup/shared-servers.ts",
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 30_000,
    // a first RocketMQ on a busy machine
    hookTimeout: 200_000,
    teardownTimeout: 30_000,
  },
});
